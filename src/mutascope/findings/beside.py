"""What null screens show in the place of what a table says of real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from mutascope.findings.columns import Column
from mutascope.findings.screens import ScreenSet

SHUFFLED = "_shuffled"
"""End of the names of columns of null screens."""


def beside(
    given: ScreenSet,
    table: pl.DataFrame,
    null: Callable[[ScreenSet], pl.DataFrame],
    keys: Sequence[str],
    names: Sequence[str],
    absent: int | None = None,
) -> pl.DataFrame:
    """Return a table with columns of the same table of the null screens; as it is where there are none.

    Args:
        given: the screens.
        table: of the real screens.
        null: makes the same table of the null screens.
        keys: columns that both have in common.
        names: columns of the null screens to add.
        absent: stands for what the null screens of a screen have no row for.
    """
    if not given.nulls:
        return table
    added = null(given).select(*keys, pl.col(names).name.suffix(SHUFFLED))
    joined = table.join(added, on=keys, how="left", maintain_order="left")
    if absent is None:
        return joined
    known = pl.col("assay").is_in(list(given.nulls))
    return joined.with_columns(
        pl.when(known).then(pl.col(name).fill_null(absent)).alias(name)
        for name in (f"{each}{SHUFFLED}" for each in names)
    )


def meaning(name: str, known: Callable[[str], Column]) -> Column:
    """Return what a column of the null screens means, from that of the real ones."""
    real = known(name.removesuffix(SHUFFLED))
    return Column(f"in the null screens: {real.meaning}", real.format)
