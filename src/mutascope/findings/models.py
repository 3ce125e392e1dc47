"""Which model the rows of a table are of."""

from __future__ import annotations

import polars as pl

from mutascope.findings.screens import ScreenSet

_MODEL_OF = {"assay": "model", "assays": "model", "assay_a": "model", "assay_b": "model_b"}
"""The column that says the model of a screen, by the column that names the screen."""


def with_model(given: ScreenSet, table: pl.DataFrame) -> pl.DataFrame:
    """Return a table whose rows are of screens with the names of their models as its first columns.

    A pair of screens has the column ``model_b`` too. A table that states models itself is returned as it is.
    """
    if "model" in table.columns:
        return table
    groups = [*given.groups, *given.text_groups] if "assays" in table.columns else []
    names = given.model_names | {", ".join(group): given.model_names[group[0]] for group in groups}
    stated = [
        pl.col(column).replace_strict(names, return_dtype=pl.String).alias(model)
        for column, model in _MODEL_OF.items()
        if column in table.columns
    ]
    return table.select(*stated, pl.all())
