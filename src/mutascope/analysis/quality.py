"""How well a mutant writes: a simple measure of the quality of a text, for shares over many outputs of a panel.

As in :mod:`mutascope.analysis.forms`, nothing here needs a model, and a reader can check each number by eye. A broken
mutant repeats itself, stops after a few words, or writes words that nobody else does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import polars as pl

from mutascope.analysis.forms import Form, classify_text
from mutascope.analysis.severity import tokenise
from mutascope.core.schema import MUTANT_KEY

LEAST_WORDS = 8
LEAST_DISTINCT = 0.8
LEAST_FAMILIAR = 0.5
"""What a coherent text has at least."""
OTHERS, OTHERS_SHARE = 2, 0.01
"""Others on the panel, and their share, that write a familiar word at least: copies of one mutant are no witnesses."""
QUALITIES = ("coherent", "distinct", "familiar")
MEASURES = (*Form._fields, *QUALITIES)
"""What is measured of an output, a number or a yes or no: its form, and its quality."""


def familiar_words(outputs: pl.DataFrame, panel: pl.DataFrame) -> set[str]:
    """Return the words of the prompts, and those that others write too: two mutants, and 1 % of them, or more.

    The wild type counts as one of the mutants. A word that one mutant writes must be written by as many others.

    Args:
        outputs: columns layer, kind, row, col, mutation, continuation.
        panel: columns text (of the prompt), continuation (of the wild type).
    """
    counts = Counter(_words(panel["continuation"].to_list()))
    texts = outputs.group_by(MUTANT_KEY, maintain_order=True).agg(pl.col("continuation").unique())[
        "continuation"
    ]
    for some in texts:
        counts.update(_words(some.to_list()))
    least = max(OTHERS, OTHERS_SHARE * len(texts))
    return {word for word, number in counts.items() if number > least} | _words(panel["text"].to_list())


def measured_outputs(outputs: pl.DataFrame, words: Collection[str]) -> pl.DataFrame:
    """Return outputs with their form and quality, in place of ``continuation``.

    Args:
        outputs: column continuation (null: a non-finite output, a text without words), and others, which stay.
        words: that are familiar (:func:`familiar_words`).

    Returns:
        The other columns, those of :func:`~mutascope.analysis.forms.classify_text`, and

        - ``coherent`` (Boolean): eight words or more, of which at least half are familiar, and distinct of 0.8 or more;
        - ``distinct`` (Float64): distinct runs of three words, over all of them; 1 with fewer than three words. It is 1
          less the repetition seq-rep-3 of Welleck et al. (2020);
        - ``familiar`` (Float64): share of its words that are familiar; 0 without a word.
    """
    texts = outputs["continuation"].unique(maintain_order=True)
    rows = [(*classify_text(text or ""), *_quality(tokenise(text or ""), words)) for text in texts]
    yes_or_no = dict.fromkeys((*Form._fields, "coherent"), pl.Boolean)
    schema = {**yes_or_no, "distinct": pl.Float64, "familiar": pl.Float64}
    told = pl.DataFrame(rows, schema=schema, orient="row").with_columns(continuation=texts)
    whole = outputs.join(told, on="continuation", how="left", maintain_order="left", nulls_equal=True)
    return whole.drop("continuation")


def mutant_quality(measured: pl.DataFrame) -> pl.DataFrame:
    """Return the quality of every mutant: means over its outputs.

    Args:
        measured: columns layer, kind, row, col, mutation, and those of :data:`QUALITIES`, a row per output.

    Returns:
        A row per mutant, in the order of the outputs: layer, kind, row, col, mutation; ``coherent`` (share of its
        outputs), ``distinct``, ``familiar`` (means), Float64.
    """
    means = [pl.col(name).cast(pl.Float64).mean() for name in QUALITIES]
    return measured.group_by(MUTANT_KEY, maintain_order=True).agg(means)


def _words(texts: Collection[str | None]) -> set[str]:
    return {word for text in texts for word in tokenise(text or "")}


def _quality(words: list[str], known: Collection[str]) -> tuple[bool, float, float]:
    runs = list(zip(words, words[1:], words[2:], strict=False))
    distinct = len(set(runs)) / len(runs) if runs else 1.0
    familiar = sum(word in known for word in words) / len(words) if words else 0.0
    coherent = len(words) >= LEAST_WORDS and distinct >= LEAST_DISTINCT and familiar >= LEAST_FAMILIAR
    return coherent, distinct, familiar
