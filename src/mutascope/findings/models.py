"""Which model the rows of a table are of."""

from __future__ import annotations

import polars as pl

from mutascope.findings.screens import ScreenSet


def with_model(given: ScreenSet, table: pl.DataFrame) -> pl.DataFrame:
    """Return a table whose rows are of screens with the name of their model as its first column.

    A pair of screens has the model of the first; ``model_b``, of the second, where a table pairs screens of different
    models. A table that states the models itself, or that is of no screen, is returned as it is.
    """
    if "model" in table.columns:
        return table
    column = next((name for name in ("assay", "assay_a", "assays") if name in table.columns), None)
    if column is None:
        return table
    groups = (
        {", ".join(group): given.model_names[group[0]] for group in given.groups}
        if column == "assays"
        else {}
    )
    names = groups | given.model_names
    return table.select(pl.col(column).replace_strict(names, return_dtype=pl.String).alias("model"), pl.all())
