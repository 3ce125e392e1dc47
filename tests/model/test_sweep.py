"""Every type of causal language model in transformers has loci that a screen mutates, or is refused in a sentence."""

import pytest

from model.sweep import PAGE, TYPES, examine, page, sweep

SAMPLE = ("bart", "mixtral", "modernbert-decoder", "mamba", "roberta-prelayernorm")


@pytest.mark.parametrize("model_type", SAMPLE)
def test_some_types(model_type, tmp_path):
    row = examine(model_type, tmp_path)
    assert f"| `{model_type}` |" in PAGE.read_text()
    told = row["refused"] if "refused" in row else row["kinds"]
    assert told in PAGE.read_text()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_page_tells_of_every_type():
    assert page(sweep([*TYPES])) == PAGE.read_text(encoding="utf-8")
