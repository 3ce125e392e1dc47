"""How much of a map was the luck of its noise: NSMs against the chance of silence of every mutant."""

from __future__ import annotations

import polars as pl

from mutascope.analysis.sites import in_order

UNDECIDED = (0.1, 0.9)
"""Between these chances of silence, the noise decides more than the mutant."""


def silence_by_kind(records: pl.DataFrame) -> pl.DataFrame:
    """Return mean silence beside the NSMs, by kind and of all.

    Args:
        records: columns kind, silent, silence (null where it was not measured: such mutants are left out).

    Returns:
        Columns kind (null: all), mutants, nsm, expected (NSMs to expect over the noise, the sum of 1 - silence),
        silence (mean), undecided (share of the mutants with a silence between 0.1 and 0.9), luck (the mean of
        silence (1 - silence), over m (1 - m) with m the mean of silence: of the variance of NSM or not, the share that
        silence leaves to the noise). All come last; luck is null where silence is 0 or 1 throughout.
    """
    known = records.filter(pl.col("silence").is_not_null())
    chance, mean = pl.col("silence").cast(pl.Float64), pl.col("silence").cast(pl.Float64).mean()
    spread = mean * (1 - mean)
    values = {
        "mutants": pl.len().cast(pl.Int64),
        "nsm": (~pl.col("silent")).sum().cast(pl.Int64),
        "expected": (1 - chance).sum(),
        "silence": mean,
        "undecided": chance.is_between(*UNDECIDED).mean(),
        "luck": pl.when(spread > 0).then((chance * (1 - chance)).mean() / spread),
    }
    kinds = in_order(known.group_by("kind", maintain_order=True).agg(**values))
    return pl.concat([kinds, known.select(kind=pl.lit(None, pl.String), **values)])
