"""What of a map is there with every seed: findings of the maps of single seeds, in the map of the mean silence.

A screen of several seeds has a map of NSMs per seed, each one draw of the noise, and the chance of silence of every
mutant, averaged over the texts of all seeds. What a seed's map shows by its luck is neither in the map of another seed
nor in the mean of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import polars as pl
from scipy import stats

from mutascope.analysis.bias import bias_tests, locus_bias
from mutascope.analysis.copa import strength_of_differences, strong_patterns
from mutascope.analysis.crossed import crossed_mean
from mutascope.analysis.enrichment import AXES, FDR, nsm_enrichment
from mutascope.analysis.nulls import q_values
from mutascope.analysis.sites import MAP_MUTATIONS, in_order
from mutascope.core.schema import LOCUS_KEY, SITE_KEY

SILENCE = "silence"
_LINE = (*LOCUS_KEY, "axis", "index")
Found = set[tuple[object, ...]]


def silence_columns(records: pl.DataFrame) -> list[str]:
    """Return the columns with the chance of silence, a seed each, the first one first; none where there is one seed."""
    further = [name for name in records.columns if name.startswith(f"{SILENCE}_")]
    return [SILENCE, *further] if further else []


def map_of_seed(records: pl.DataFrame, column: str) -> pl.DataFrame:
    """Return the records with ``silent`` as it is with the noise of the seed of a column of :func:`silence_columns`."""
    if column == SILENCE:
        return records
    divergence = column.replace(SILENCE, "first_divergence")
    return records.with_columns(silent=pl.col(divergence).is_null(), first_divergence=pl.col(divergence))


def nsm_chances(records: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Return the chance that ``max`` and ``min`` of a site are NSMs, the mean over seeds.

    Args:
        records: columns layer, kind, row, col, mutation and those of silence.
        columns: of silence, one per seed.

    Returns:
        Columns layer, kind, row, col, max, min, of the sites that have both.
    """
    mean = 1 - pl.mean_horizontal(pl.col(name).cast(pl.Float64) for name in columns)
    parts = [
        records.filter(mutation=name).select(*SITE_KEY, mean.alias(name)).drop_nulls()
        for name in MAP_MUTATIONS
    ]
    return in_order(parts[0].join(parts[1], on=SITE_KEY, how="inner", maintain_order="left"), "row", "col")


def chance_lines(sites: pl.DataFrame) -> pl.DataFrame:
    """Return the test of every row and column of every locus: is its mean chance of an NSM larger than that of others?

    The null deals the values of the locus out at random over its sites. The sum of a line then has mean, variance and
    third moment of a sample without replacement; p is the tail of the Pearson type III distribution that has the same.

    Args:
        sites: of :func:`nsm_chances`; the value of a site is the mean of ``max`` and ``min``.

    Returns:
        Columns layer, kind, axis, index, sites, chance (mean of the line), expected (mean of the locus), p, q
        (Benjamini-Hochberg within the axis), enriched (q <= 0.05).
    """
    value = pl.mean_horizontal(MAP_MUTATIONS)
    valued = sites.select(*SITE_KEY, value=value, rest=value - value.mean().over(LOCUS_KEY))
    whole = valued.group_by(LOCUS_KEY, maintain_order=True).agg(
        all_sites=pl.len(),
        expected=pl.col("value").mean(),
        second=(pl.col("rest") ** 2).mean(),
        third=(pl.col("rest") ** 3).mean(),
    )
    lines = pl.concat(
        valued.group_by(*LOCUS_KEY, index=axis, maintain_order=True)
        .agg(sites=pl.len(), chance=pl.col("value").mean(), sum=pl.col("rest").sum())
        .with_columns(axis=pl.lit(axis))
        for axis in AXES
    ).join(whole, on=LOCUS_KEY, maintain_order="left")
    names = ("sites", "all_sites", "second", "third", "sum")
    p = _sample_tail(*(lines[name].cast(pl.Float64).to_numpy() for name in names))
    tested = lines.select(*_LINE, "sites", "chance", "expected", p=pl.Series(p, dtype=pl.Float64))
    called = q_values(tested, ["axis"]).with_columns(enriched=pl.col("q") <= FDR)
    return in_order(called, "index").sort("axis", descending=True, maintain_order=True)


def _sample_tail(
    n: np.ndarray, N: np.ndarray, second: np.ndarray, third: np.ndarray, total: np.ndarray
) -> np.ndarray:
    """Return the chance of at least these sums of n of N centred values with these mean squares and cubes."""
    left = N - n
    variance = second * n * left / np.maximum(N - 1, 1)
    cube = third * n * left * (left - n) / np.maximum((N - 1) * (N - 2), 1)
    varies = variance > 1e-18
    spread = np.sqrt(np.where(varies, variance, 1.0))
    p = stats.pearson3.sf(total, cube / spread**3, loc=0.0, scale=spread)
    return np.where(varies, np.clip(p, np.finfo(float).tiny, 1.0), 1.0)


def chance_bias(sites: pl.DataFrame) -> pl.DataFrame:
    """Return whether ``max`` or ``min`` has the larger chance of an NSM in a locus, tested as in :func:`bias_tests`.

    Args:
        sites: of :func:`nsm_chances`.

    Returns:
        Columns layer, kind, difference (mean chance of ``max`` less that of ``min``), p, q (over the loci).
    """
    signed = sites.with_columns(difference=pl.col("max") - pl.col("min"))
    rows = []
    for key, group in signed.group_by(LOCUS_KEY, maintain_order=True):
        found = crossed_mean(group, "difference")
        rows.append((*key, found.mean, found.p))
    schema = {name: sites.schema[name] for name in LOCUS_KEY} | {"difference": pl.Float64, "p": pl.Float64}
    return q_values(pl.DataFrame(rows, schema=schema, orient="row"))


def chance_patterns(sites: pl.DataFrame, shuffles: int = 200, seed: int = 0) -> pl.DataFrame:
    """Return the strength of COPA of every locus in the differences of chances of ``max`` and ``min``, and its test.

    Strength is the mean |r| of two lines; the null keeps how large the difference of a site is and shuffles the signs.

    Args:
        sites: of :func:`nsm_chances`.
        shuffles: of the signs.
        seed: of the shuffles.

    Returns:
        Columns layer, kind, axis, strength (null below two lines that vary), p, q (within the axis).
    """
    rows = []
    for key, group in sites.group_by(LOCUS_KEY, maintain_order=True):
        shape = tuple(int(group[axis].to_numpy().max()) + 1 for axis in AXES)
        differences = np.zeros(shape)
        differences[group["row"], group["col"]] = (group["max"] - group["min"]).to_numpy()
        random = np.random.default_rng([seed, int(str(key[0])), *str(key[1]).encode()])
        for axis, (strength, p) in strength_of_differences(differences, shuffles, random).items():
            rows.append((*key, axis, strength, p))
    schema = {name: sites.schema[name] for name in LOCUS_KEY} | {"axis": pl.String}
    numbers = {"strength": pl.Float64, "p": pl.Float64}
    return q_values(pl.DataFrame(rows, schema=schema | numbers, orient="row"), ["axis"])


def seed_rates(records: pl.DataFrame) -> pl.DataFrame:
    """Return the NSMs of every seed, and how far its map agrees with those of the others.

    Args:
        records: columns layer, kind, silent and those of several seeds.

    Returns:
        Columns seed (null: the one that the records are of), mutants, nsm, expected (the sum of 1 - silence), alike
        (the share of the mutants whose call is the same with another seed, mean over these), alike_by_chance (the same
        with the calls of the other seed dealt out at random within each locus).
    """
    columns = silence_columns(records)
    calls = {name: ~map_of_seed(records, name)["silent"] for name in columns}
    frame = records.select(*LOCUS_KEY, **calls)
    locus = frame.group_by(LOCUS_KEY, maintain_order=True).agg(pl.len(), pl.col(columns).mean())
    rows = []
    for name in columns:
        others = [other for other in columns if other != name]
        alike = [(calls[name] == calls[other]).to_numpy().mean() for other in others]
        chance = [pl.col(name) * pl.col(other) + (1 - pl.col(name)) * (1 - pl.col(other)) for other in others]
        dealt = locus.select((pl.mean_horizontal(chance) * pl.col("len")).sum() / pl.col("len").sum()).item()
        expected = float((1 - records[name].cast(pl.Float64)).sum())
        seed = None if name == SILENCE else int(name.removeprefix(f"{SILENCE}_"))
        rows.append((seed, len(records), int(calls[name].sum()), expected, float(np.mean(alike)), dealt))
    schema = {"seed": pl.Int64, "mutants": pl.Int64, "nsm": pl.Int64}
    numbers = dict.fromkeys(("expected", "alike", "alike_by_chance"), pl.Float64)
    return pl.DataFrame(rows, schema=schema | numbers, orient="row")


def survival(records: pl.DataFrame, loci: pl.DataFrame) -> pl.DataFrame:
    """Return how many findings of the map of one seed are in that of another, and in the mean of all others.

    Args:
        records: of complete loci, columns layer, kind, row, col, mutation, silent and those of several seeds.
        loci: columns layer, kind, site_rows, site_cols.

    Returns:
        Columns finding, seeds, found (in the map of one seed, the mean over seeds), again (the share of these that is
        in the map of another seed, over all pairs), survive (the share that is in the mean of the other seeds), of_mean
        (findings in the mean of all seeds). The shares are null where nothing is found. What counts: an enriched line
        (q <= 0.05); a locus that leans to ``max`` or ``min``, the same way, by the paper's rule or by the test
        (q <= 0.05); a locus whose pattern is stronger than chance (q <= 0.05).
    """
    columns = silence_columns(records)
    of_seed = [_of_map(map_of_seed(records, column), loci) for column in columns]
    of_rest = [
        _of_mean(nsm_chances(records, [other for other in columns if other != column])) for column in columns
    ]
    of_all = _of_mean(nsm_chances(records, columns))
    rows = []
    for name in of_seed[0]:
        own = [found[name] for found in of_seed]
        number = sum(map(len, own))
        pairs = list(permutations(own, 2))
        again = sum(len(one & other) for one, other in pairs)
        kept = sum(len(one & rest[name]) for one, rest in zip(own, of_rest, strict=True))
        shares = (again / (number * (len(own) - 1)), kept / number) if number else (None, None)
        rows.append((name, len(own), number / len(own), *shares, len(of_all[name])))
    schema = {"finding": pl.String, "seeds": pl.Int64} | dict.fromkeys(
        ("found", "again", "survive"), pl.Float64
    )
    return pl.DataFrame(rows, schema=schema | {"of_mean": pl.Int64}, orient="row")


def _of_map(records: pl.DataFrame, loci: pl.DataFrame) -> dict[str, Found]:
    """Return the findings of a map of NSMs."""
    lines = nsm_enrichment(records).filter("enriched")
    rule = locus_bias(records).filter(pl.col("lean") != "none")
    difference = pl.col("max_nsm").cast(pl.Int64) - pl.col("min_nsm")
    tested = (
        locus_bias(records)
        .join(bias_tests(records), on=LOCUS_KEY, maintain_order="left")
        .filter(pl.col("q") <= FDR)
    )
    patterns = strong_patterns(records, loci)
    return {
        **_by_axis("enriched {}", lines, _LINE),
        "lean (rule)": _keys(rule.with_columns(sign=difference.sign()), (*LOCUS_KEY, "sign")),
        "lean (test)": _keys(tested.with_columns(sign=difference.sign()), (*LOCUS_KEY, "sign")),
        **_by_axis("pattern of {}", patterns, (*LOCUS_KEY, "axis")),
    }


def _of_mean(sites: pl.DataFrame) -> dict[str, Found]:
    """Return the findings of a map of chances."""
    bias = chance_bias(sites).filter(pl.col("q") <= FDR)
    leans = _keys(bias.with_columns(sign=pl.col("difference").sign().cast(pl.Int64)), (*LOCUS_KEY, "sign"))
    return {
        **_by_axis("enriched {}", chance_lines(sites).filter("enriched"), _LINE),
        "lean (rule)": leans,
        "lean (test)": leans,
        **_by_axis("pattern of {}", chance_patterns(sites).filter(pl.col("q") <= FDR), (*LOCUS_KEY, "axis")),
    }


def _by_axis(name: str, frame: pl.DataFrame, keys: Sequence[str]) -> dict[str, Found]:
    words = {"row": "rows", "col": "columns"}
    return {name.format(words[axis]): _keys(frame.filter(axis=axis), keys) for axis in AXES}


def _keys(frame: pl.DataFrame, names: Sequence[str]) -> Found:
    return set(frame.select(names).iter_rows())
