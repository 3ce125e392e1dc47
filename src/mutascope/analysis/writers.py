"""Writer panel: mutants that open their outputs with a rare word (METHOD, Writer panel; Statistics: RIHF).

Two frames come in: the *panel* (columns prompt, text, genre: ``drosophila``, ``literary`` or ``factual``) and the
*outputs* (columns layer, kind, row, col, mutation, prompt, continuation; a row per mutant and prompt: the outputs of
a panel screen with the continuation of each phenotype joined to them). The outputs of the wild type have the columns
prompt and continuation. RIHF: rare initial word of highest frequency.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from scipy import stats

from mutascope.analysis.choice import MALIGNANT_COSINE
from mutascope.analysis.lines import line_sharing
from mutascope.analysis.sites import in_order
from mutascope.core.schema import LOCUS_KEY, MUTANT_KEY, SITE_KEY

NO_WORD = "∅"
"""Initial word of a continuation without a word, a non-finite one included."""

COMMON_SHARE = 0.98
SMALLEST_PANEL = 500
"""From so many panelled NSMs up, other words than the wild type's can be common."""


def initial_words(outputs: pl.DataFrame) -> pl.DataFrame:
    """Return the outputs with ``word``, the first whitespace-separated word, in place of ``continuation``."""
    word = pl.col("continuation").str.extract(r"^\s*(\S+)", 1).fill_null(NO_WORD)
    return outputs.with_columns(word=word).drop("continuation")


def top_words(words: pl.DataFrame, by: Sequence[str] = MUTANT_KEY) -> pl.DataFrame:
    """Return the initial word of highest frequency of every mutant.

    Args:
        words: columns of ``by``, prompt, word.
        by: what makes a mutant; empty for the wild type.

    Returns:
        Columns of ``by``; ``word``, of ties the one that occurs at the smallest prompt; ``outputs`` (UInt32, that
        start with it), ``prompts`` (UInt32); mutants in the order of their first row.
    """
    counts = words.group_by([*by, "word"], maintain_order=True).agg(
        outputs=pl.len(), first=pl.col("prompt").min()
    )
    ranked = counts.with_columns(prompts=pl.col("outputs").sum().over(by) if by else pl.col("outputs").sum())
    best = ranked.sort("outputs", "first", descending=[True, False], maintain_order=True)
    tops = best.unique(by, keep="first", maintain_order=True) if by else best.head(1)
    order = words.select(by).unique(maintain_order=True) if by else None
    tops = (
        tops
        if order is None
        else order.join(tops, on=by, how="left", maintain_order="left", nulls_equal=True)
    )
    return tops.select(*by, "word", pl.col("outputs", "prompts").cast(pl.UInt32))


def common_words(tops: pl.DataFrame, wild_type: str) -> list[str]:
    """Return the common initial words: the wild type's, and in a large panel those that lead 98 % of the NSMs.

    Args:
        tops: column word, a row per panelled NSM.
        wild_type: top word of the wild type, which always comes first.

    Returns:
        ``wild_type``; from 500 panelled NSMs up followed by further words, the most frequent first (ties: by
        alphabet), until together they lead at least 98 % of the NSMs.
    """
    common = [wild_type]
    if len(tops) < SMALLEST_PANEL:
        return common
    counts = tops["word"].value_counts().sort("count", "word", descending=[True, False])
    led = int((tops["word"] == wild_type).sum())
    for word, count in counts.filter(pl.col("word") != wild_type).iter_rows():
        if led >= COMMON_SHARE * len(tops):
            break
        common.append(word)
        led += count
    return common


def writers_frame(outputs: pl.DataFrame, wild_type: pl.DataFrame) -> pl.DataFrame:
    """Return every panelled mutant with its initial word of highest frequency, and whether that word is rare.

    Args:
        outputs: columns layer, kind, row, col, mutation, prompt, continuation.
        wild_type: columns prompt, continuation.

    Returns:
        Columns of :func:`top_words`, ``rare`` (Boolean), in the order of the outputs.
    """
    tops = top_words(initial_words(outputs))
    wild = top_words(initial_words(wild_type), by=())["word"]
    common = common_words(tops, wild[0] if len(wild) else NO_WORD)
    return tops.with_columns(rare=~pl.col("word").is_in(common))


def rarity_by_cosine(writers: pl.DataFrame, bins: int = 10) -> pl.DataFrame:
    """Return the histogram of common and rare words over the cosine of the mutant's phenotype in the text assay.

    Args:
        writers: columns cosine, rare; a null cosine is left out.
        bins: number of equal ranges of the cosine from 0 to 1.

    Returns:
        A row per range: ``low``, ``high`` (Float64; the range includes ``low``, the last one also 1), ``common``,
        ``rare`` (Int64).
    """
    edges = np.linspace(0, 1, bins + 1)
    # A cosine of equal texts can come out as 1 + 2e-16.
    known = writers.drop_nulls("cosine").with_columns(pl.col("cosine").clip(0, 1))
    counts = {
        name: np.histogram(known.filter(rare=rare)["cosine"].to_numpy(), edges)[0]
        for name, rare in (("common", False), ("rare", True))
    }
    return pl.DataFrame({"low": edges[:-1], "high": edges[1:], **counts})


def writers_by_locus(writers: pl.DataFrame) -> pl.DataFrame:
    """Return, per locus: ``panelled``, ``rare`` (UInt32 numbers of mutants), ``words`` (UInt32 distinct rare words)."""
    rare = pl.col("rare")
    counts = writers.group_by(LOCUS_KEY, maintain_order=True).agg(
        panelled=pl.len().cast(pl.UInt32),
        rare=rare.sum().cast(pl.UInt32),
        words=pl.col("word").filter(rare).n_unique().cast(pl.UInt32),
    )
    return in_order(counts)


def word_groups(writers: pl.DataFrame, *, permutations: int = 1999, seed: int = 0) -> pl.DataFrame:
    """Test whether mutants of one rare word share rows, and columns, more than rare mutants of the same loci do.

    Coordinates count once whatever the locus (METHOD: distinct rows against mutants). The null shuffles the rare sites
    of each locus, each with the words of all its mutants, because ``max`` and ``min`` of a site share its row whatever
    they say. What loci and their crowded rows bring by themselves is in the null. One-sided
    p = (1 + null values <= observed) / (1 + permutations).

    Args:
        writers: columns layer, kind, row, col, word, rare.
        permutations: draws from the null.
        seed: of the draws.

    Returns:
        A row per rare word with at least two mutants, most mutants first, then one with a null word, which sums over
        them (absent when there is none). Columns word; ``mutants``, ``loci``, ``rows``, ``cols`` (Int64, distinct);
        ``expected_rows``, ``expected_cols`` (means of the null), ``p_rows``, ``p_cols``, ``q_rows``, ``q_cols``
        (Benjamini-Hochberg over the words; of the sum: p), all Float64.
    """
    rare = writers.filter("rare").sort(LOCUS_KEY, maintain_order=True)
    groups = (
        rare.group_by("word", maintain_order=True)
        .agg(
            mutants=pl.len(),
            loci=pl.struct(LOCUS_KEY).n_unique(),
            rows=pl.col("row").n_unique(),
            cols=pl.col("col").n_unique(),
        )
        .with_columns(pl.exclude("word").cast(pl.Int64))
        .filter(pl.col("mutants") >= 2)
        .sort("mutants", "word", descending=[True, False])
    )
    nulls = _shuffled_words(rare, groups["word"], permutations, np.random.default_rng(seed))
    if len(groups):
        total = groups.select(pl.lit(None, pl.String).alias("word"), pl.exclude("word").sum())
        groups = pl.concat([groups, total])
        nulls = {axis: np.column_stack([null, null.sum(axis=1)]) for axis, null in nulls.items()}
    tests = {}
    for axis, observed in (("rows", groups["rows"]), ("cols", groups["cols"])):
        null = nulls[axis]
        tests[f"expected_{axis}"] = null.mean(axis=0)
        p = (1 + (null <= observed.to_numpy()).sum(axis=0)) / (1 + permutations)
        tests[f"p_{axis}"] = p
        tests[f"q_{axis}"] = np.concatenate([stats.false_discovery_control(p[:-1]), p[-1:]]) if len(p) else p
    return groups.with_columns(pl.Series(name, values, dtype=pl.Float64) for name, values in tests.items())


def _shuffled_words(
    rare: pl.DataFrame, words: pl.Series, permutations: int, random: np.random.Generator
) -> dict[str, np.ndarray]:
    """Distinct rows and columns of every word with the sites shuffled within loci, int64 [permutations, words].

    ``rare`` is sorted by locus.
    """
    sites = rare.select(SITE_KEY).unique(maintain_order=True).with_row_index("site")
    at = rare.join(sites, on=SITE_KEY, how="left", maintain_order="left")["site"].to_numpy()
    locus = sites.select(pl.struct(LOCUS_KEY).rank("dense")).to_series().to_numpy()
    numbers = {word: number for number, word in enumerate(words)}
    word = np.array([numbers.get(name, len(words)) for name in rare["word"]], dtype=np.int64)
    places = {
        "rows": sites["row"].to_numpy().astype(np.int64),
        "cols": sites["col"].to_numpy().astype(np.int64),
    }
    sizes = {axis: int(place.max(initial=0)) + 1 for axis, place in places.items()}
    null = {axis: np.zeros((permutations, len(words)), dtype=np.int64) for axis in places}
    for draw in range(permutations):
        moved = np.lexsort((random.random(len(sites)), locus))[at]
        for axis, place in places.items():
            taken = np.unique(word * sizes[axis] + place[moved]) // sizes[axis]
            null[axis][draw] = np.bincount(taken, minlength=len(words) + 1)[: len(words)]
    return null


def word_coordinates(writers: pl.DataFrame) -> pl.DataFrame:
    """Return the rows and columns at which mutants of one rare word lie, whatever the locus.

    Args:
        writers: columns layer, kind, row, col, word, rare.

    Returns:
        A row per rare word, axis and line: word, ``axis`` (``row`` or ``col``), ``index`` (Int32, tile coordinate);
        ``loci`` in which a mutant of the word lies there, ``mutants`` that do, ``of`` (mutants of the word), Int64.
        Lines in most loci come first, then those with most mutants.
    """
    rare = writers.filter("rare")
    parts = [
        rare.group_by("word", index=axis, maintain_order=True)
        .agg(loci=pl.struct(LOCUS_KEY).n_unique(), mutants=pl.len())
        .select("word", pl.lit(axis).alias("axis"), "index", pl.col("loci", "mutants").cast(pl.Int64))
        for axis in ("row", "col")
    ]
    totals = rare.group_by("word", maintain_order=True).agg(of=pl.len().cast(pl.Int64))
    found = pl.concat(parts).join(totals, on="word", how="left", maintain_order="left")
    return found.sort("loci", "mutants", "word", "axis", "index", descending=[True, True, False, True, False])


def rare_and_low_cosine_lines(
    records: pl.DataFrame, writers: pl.DataFrame, *, max_cosine: float = MALIGNANT_COSINE
) -> pl.DataFrame:
    """Test whether low-cosine mutants lie on the rows and columns of RIHF mutants, more than other NSMs do.

    Args:
        records: columns layer, kind, row, col, mutation, silent, cosine of the text assay.
        writers: columns layer, kind, row, col, mutation, rare.
        max_cosine: exclusive bound of a low cosine.

    Returns:
        The columns of :func:`~mutascope.analysis.lines.line_sharing`: ``first`` are the RIHF mutants, ``second`` the
        other NSMs of low cosine, on the panel or not.
    """
    joined = records.filter(~pl.col("silent")).join(
        writers.select(*MUTANT_KEY, "rare"), on=MUTANT_KEY, how="left", maintain_order="left"
    )
    return line_sharing(joined, pl.col("rare"), pl.col("cosine") < max_cosine)


def writers_by_score(writers: pl.DataFrame, choice_records: pl.DataFrame) -> pl.DataFrame:
    """Return how the mutants of rare and of common words score in a choice assay.

    Args:
        writers: columns layer, kind, row, col, mutation, word, rare.
        choice_records: columns layer, kind, row, col, mutation, silent, score.

    Returns:
        Mutants that both screened, by columns rare, word (the rare word; null for all common words together), score;
        ``mutants`` (UInt32) and ``silent`` (UInt32, of these with the answers of the wild type).
    """
    known = writers.join(
        choice_records.select(*MUTANT_KEY, "silent", "score"),
        on=MUTANT_KEY,
        how="inner",
        maintain_order="left",
    )
    named = known.with_columns(word=pl.when("rare").then("word"))
    counts = named.group_by("rare", "word", "score", maintain_order=True).agg(
        mutants=pl.len().cast(pl.UInt32), silent=pl.col("silent").sum().cast(pl.UInt32)
    )
    return counts.sort("rare", "word", "score", descending=[True, False, False])


def genres_of_writers(outputs: pl.DataFrame, writers: pl.DataFrame, panel: pl.DataFrame) -> pl.DataFrame:
    """Return how often the rare word of a mutant starts its literary and its factual outputs.

    Args:
        outputs: columns layer, kind, row, col, mutation, prompt, continuation.
        writers: what :func:`writers_frame` returns for them.
        panel: columns prompt, genre; prompts of other genres than ``literary`` and ``factual`` are left out.

    Returns:
        A row per RIHF mutant: layer, kind, row, col, mutation, word; ``literary``, ``factual`` (Int64, outputs that
        start with the word), ``literary_prompts``, ``factual_prompts`` (Int64); ``p`` (Fisher's exact test, two-sided;
        1 where a genre has no prompt) and ``q`` (Benjamini-Hochberg over the mutants).
    """
    rare = writers.filter("rare").select(*MUTANT_KEY, "word")
    words = initial_words(outputs.join(rare, on=MUTANT_KEY, how="semi")).rename({"word": "said"})
    told = words.join(panel.select("prompt", "genre"), on="prompt", maintain_order="left").join(
        rare, on=MUTANT_KEY, maintain_order="left"
    )
    cells = {}
    for genre in ("literary", "factual"):
        of_genre = pl.col("genre") == genre
        cells[genre] = (of_genre & (pl.col("said") == pl.col("word"))).sum().cast(pl.Int64)
        cells[f"{genre}_prompts"] = of_genre.sum().cast(pl.Int64)
    counts = told.group_by([*MUTANT_KEY, "word"], maintain_order=True).agg(**cells)
    names = ("literary", "literary_prompts", "factual", "factual_prompts")
    p_values = [
        stats.fisher_exact([[a, total_a - a], [b, total_b - b]])[1]
        for a, total_a, b, total_b in counts.select(names).iter_rows()
    ]
    q_values = stats.false_discovery_control(p_values) if p_values else []
    return counts.with_columns(
        p=pl.Series(p_values, dtype=pl.Float64), q=pl.Series(q_values, dtype=pl.Float64)
    )


def genre_summary(genres: pl.DataFrame) -> dict[str, float | int | None]:
    """Return whether rare words start literary outputs more often than factual ones, over all words.

    Mutants of one word are near copies of each other, so a word counts once: with the mean over its mutants of the
    share of literary and of factual outputs that it starts. The test is Wilcoxon's signed-rank test over words.

    Args:
        genres: what :func:`genres_of_writers` returns.

    Returns:
        ``words``; ``literary``, ``factual`` (mean shares over words, None without a word), ``p`` (two-sided, None
        where no word differs between the genres) and ``least_p``, the smallest that so many differing words allow: with
        five, nothing can be significant.
    """
    shares = (
        genres.filter((pl.col("literary_prompts") > 0) & (pl.col("factual_prompts") > 0))
        .group_by("word", maintain_order=True)
        .agg(
            literary=(pl.col("literary") / pl.col("literary_prompts")).mean(),
            factual=(pl.col("factual") / pl.col("factual_prompts")).mean(),
        )
    )
    if shares.is_empty():
        return {"words": 0, "literary": None, "factual": None, "p": None, "least_p": None}
    literary, factual = shares["literary"].to_numpy(), shares["factual"].to_numpy()
    differs = int((literary != factual).sum())
    return {
        "words": len(shares),
        "literary": float(literary.mean()),
        "factual": float(factual.mean()),
        "p": float(stats.wilcoxon(literary, factual)[1]) if differs else None,  # pyright: ignore[reportArgumentType]
        "least_p": 2.0 ** (1 - differs) if differs else None,
    }
