"""The page on the answers of a locus: how probable each choice is to its mutants, question by question."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from mutascope.core.schema import MUTANT_KEY
from mutascope.explorer.packing import pack


def answers_page(
    outputs: pl.DataFrame, nsms: pl.DataFrame, cols: int, mutations: Sequence[str], letters: Sequence[str]
) -> bytes:
    """Return the probabilities of the choices, packed.

    Per mutation ``<mutation>.site`` (row times columns plus column), of the NSMs alone, and ``.p``, uint8 [NSMs,
    questions, letters], the probability times 255; 0 where it is not known.

    Args:
        outputs: of the locus: row, col, mutation, prompt, and ``p_<letter>`` for every letter.
        nsms: records of its NSMs.
        cols: of sites.
        mutations: in the order of the index.
        letters: of the choices.
    """
    told = nsms.select(MUTANT_KEY).join(outputs, on=MUTANT_KEY, how="inner", maintain_order="left")
    arrays = {}
    for mutation in mutations:
        mine = told.filter(mutation=mutation).sort("row", "col", "prompt")
        if mine.is_empty():
            continue
        sites = mine.select(site=pl.col("row") * cols + pl.col("col"))["site"].unique(maintain_order=True)
        p = mine.select(pl.col(f"p_{letter}").fill_null(0) for letter in letters).to_numpy()
        arrays[f"{mutation}.site"] = sites.to_numpy().astype(np.uint32)
        arrays[f"{mutation}.p"] = np.round(255 * p).astype(np.uint8).reshape(len(sites), -1, len(letters))
    return pack(arrays)


def question_of(prompt: str) -> str:
    """Return the last question of a prompt, without the solved examples before it and ``Answer:`` behind it."""
    return prompt.rstrip().removesuffix("Answer:").rstrip().rpartition("\n\n")[2]
