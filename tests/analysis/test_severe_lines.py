"""Lines of low cosines and of lowest scores, and malignant sets that two texts share, by hand; levels by simulation."""

from math import comb

import numpy as np
import polars as pl
import pytest

from analysis.frames import records_of
from mutascope.analysis.choice import shared_sets
from mutascope.analysis.severe_lines import low_cosine_lines, lowest_scores
from mutascope.core.schema import MUTANT_KEY

SIZE = 20


def text_of(random: np.random.Generator, columns: list[int]) -> pl.DataFrame:
    """A text assay whose NSMs, anywhere, have low cosines on some columns above all."""
    drawn = "\n".join("".join(random.choice(list(".+-#"), SIZE)) for _ in range(SIZE))
    records = records_of({(30, "down"): drawn})
    low = random.random(len(records)) < np.where(records["col"].is_in(columns), 0.95, 0.08)
    return records.with_columns(cosine=pl.Series(np.where(low, 0.3, 0.9)))


def test_columns_of_low_cosine_in_all_texts_that_the_choice_assay_does_not_mind():
    random = np.random.default_rng(0)
    texts = {name: text_of(random, [3, 8]) for name in ("drosophila", "newton", "p53")}
    quiet = "\n".join("." * SIZE if row else "#" * 5 + "." * (SIZE - 5) for row in range(SIZE))
    choice = records_of({(30, "down"): quiet})
    found = low_cosine_lines(texts, choice)
    called = found.filter("conserved")
    assert called.select("layer", "kind", "axis", "index", "tested", "enriched").rows() == [
        (30, "down", "col", 3, 3, 3),
        (30, "down", "col", 8, 3, 3),
    ]
    assert called.select("choice_sites", "choice_nsm").rows() == [(SIZE, 1), (SIZE, 0)]
    assert low_cosine_lines(texts, None)["choice_nsm"].null_count() == len(found)


def choice_of(scores: dict[tuple[int, int, int], int]) -> pl.DataFrame:
    """NSMs of a choice assay at (layer, row, col), with their scores."""
    rows = [(layer, "v", row, col, "max", False, score) for (layer, row, col), score in scores.items()]
    schema = {"layer": pl.Int16, "kind": pl.String, "row": pl.Int32, "col": pl.Int32, "mutation": pl.String}
    return pl.DataFrame(rows, schema={**schema, "silent": pl.Boolean, "score": pl.Int16}, orient="row")


def test_lowest_scores_by_hand():
    layer = {(0, 0): 3, (1, 0): 9, (0, 1): 3, (2, 1): 12, (3, 2): 13}  # two lowest, in columns 0 and 1
    records = choice_of({(number, *site): score for number in (0, 1) for site, score in layer.items()})
    twin = records.filter(row=3).with_columns(mutation=pl.lit("min"), score=pl.lit(14, pl.Int16))
    found = lowest_scores(pl.concat([records, twin]))
    row = found.filter(axis="col", index=0).row(0, named=True)
    one = 1 - comb(3, 2) / comb(
        5, 2
    )  # two of five sites lie on the column: that it holds one of the two lowest
    assert (row["layers"], row["lowest"], row["least"], row["mean_score"]) == (2, 2, 3, 6.0)
    assert row["expected"] == pytest.approx(2 * one)
    assert row["p"] == pytest.approx(one**2 / (1 - (1 - one) ** 2))
    assert set(found.filter(axis="col")["index"]) == {0, 1}
    assert set(found.filter(axis="row")["index"]) == {0}


def test_lowest_scores_keep_their_level_and_a_conserved_column_is_found():
    random, p, found = np.random.default_rng(1), [], pl.DataFrame()
    for number in range(60):
        planted = number == 59
        scores = {}
        for layer in range(12):
            for row, col in np.argwhere(random.random((SIZE, SIZE)) < 0.3):
                low = planted and col == 4 and random.random() < 0.5
                scores[layer, int(row), int(col)] = 0 if low else int(random.integers(1, 14))
        found = lowest_scores(choice_of(scores))
        p += [] if planted else found["p"].to_list()
    assert len(p) > 500
    assert np.mean(np.array(p) <= 0.05) <= 0.06
    assert found.filter("conserved").select("axis", "index").rows() == [("col", 4)]


def test_shared_malignant_sets_by_hand():
    low = choice_of({(layer, row, 0): 5 for layer in (0, 1) for row in range(4)}).select(MUTANT_KEY)
    first = low.filter(pl.col("layer") == 0).head(3)
    second = pl.concat([first.head(2), low.filter(pl.col("layer") == 1).head(1)])
    found = shared_sets(low, first, second)
    assert (found["malignant_a"], found["malignant_b"], found["both"]) == (3, 3, 2)
    assert found["share"] == pytest.approx(2 / 3)
    assert found["expected"] == pytest.approx(3 * 2 / 4)
    assert shared_sets(low, first.clear(), second)["share"] is None
