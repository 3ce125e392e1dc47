"""How well a mutant writes: a simple measure of the quality of a text, for shares over many outputs of a panel.

As in :mod:`mutascope.analysis.forms`, nothing here needs a model, and a reader can check each number by eye. A broken
mutant repeats itself, stops after a few words, or writes words that nobody else does.
"""

from __future__ import annotations

import polars as pl

from mutascope.analysis.forms import Form, classify_text
from mutascope.analysis.severity import tokenise
from mutascope.core.schema import MUTANT_KEY

LEAST_WORDS = 8
LEAST_DISTINCT = 0.8
LEAST_FAMILIAR = 0.5
"""What a coherent text has at least."""
QUALITIES = ("coherent", "distinct", "familiar")
MEASURES = (*Form._fields, *QUALITIES)
"""What is measured of an output, a number or a yes or no: its form, and its quality."""


def output_quality(outputs: pl.DataFrame, panel: pl.DataFrame) -> pl.DataFrame:
    """Return the quality of every output of a panel.

    Args:
        outputs: columns prompt, continuation (null: a non-finite output, a text without words).
        panel: columns prompt, text (of the prompt), continuation (of the wild type).

    Returns:
        The outputs, without ``continuation``, with

        - ``distinct`` (Float64): distinct runs of three words, over all of them; 1 with fewer than three words. It is 1
          less the repetition seq-rep-3 of Welleck et al. (2020);
        - ``familiar`` (Float64): share of its words that occur in another prompt of the panel or in what the wild type
          writes there; 0 without a word;
        - ``coherent`` (Boolean): eight words or more, of which at least half are familiar, and distinct of 0.8 or more.
    """
    known = _vocabulary(panel)
    pairs = outputs.select("prompt", "continuation").unique(maintain_order=True)
    rows = [
        (prompt, text, *_quality(tokenise(text or ""), known, prompt)) for prompt, text in pairs.iter_rows()
    ]
    schema = {
        "prompt": outputs.schema["prompt"],
        "continuation": pl.String,
        "distinct": pl.Float64,
        "familiar": pl.Float64,
        "coherent": pl.Boolean,
    }
    told = pl.DataFrame(rows, schema=schema, orient="row")
    keys = ["prompt", "continuation"]
    return outputs.join(told, on=keys, how="left", maintain_order="left", nulls_equal=True).drop(
        "continuation"
    )


def measured_outputs(outputs: pl.DataFrame, panel: pl.DataFrame) -> pl.DataFrame:
    """Return outputs with a column for every one of :data:`MEASURES`, in place of ``continuation``.

    Args:
        outputs: columns prompt, continuation, and others, which stay.
        panel: as of :func:`output_quality`.
    """
    texts = outputs["continuation"].unique(maintain_order=True)
    forms = [classify_text(text or "") for text in texts]
    told = pl.DataFrame(forms, schema=dict.fromkeys(Form._fields, pl.Boolean), orient="row")
    told = told.with_columns(continuation=texts)
    whole = outputs.join(told, on="continuation", how="left", maintain_order="left", nulls_equal=True)
    return output_quality(whole, panel)


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


def _vocabulary(panel: pl.DataFrame) -> dict[str, set[int]]:
    """Words of the prompts and of the wild type, with the prompts that they occur at."""
    known: dict[str, set[int]] = {}
    for prompt, *texts in panel.select("prompt", "text", "continuation").iter_rows():
        for word in (word for text in texts for word in tokenise(text or "")):
            known.setdefault(word, set()).add(prompt)
    return known


def _quality(words: list[str], known: dict[str, set[int]], prompt: int) -> tuple[float, float, bool]:
    runs = list(zip(words, words[1:], words[2:], strict=False))
    distinct = len(set(runs)) / len(runs) if runs else 1.0
    familiar = sum(bool(known.get(word, set()) - {prompt}) for word in words) / len(words) if words else 0.0
    coherent = len(words) >= LEAST_WORDS and distinct >= LEAST_DISTINCT and familiar >= LEAST_FAMILIAR
    return distinct, familiar, coherent
