"""Literary against factual outputs: planted changes, means by hand, and what prompts alone do."""

import numpy as np
import polars as pl
import pytest

from mutascope.analysis.genres import genre_changes
from mutascope.analysis.quality import MEASURES, measured_outputs
from mutascope.core.schema import MUTANT_KEY

POEM = "the egg\nthe king slept\na larva woke\nit was a fly\nso"
PROSE = "The fly is an insect. It was there, and the king was a larva of the time."


def panel_of(literary: int, factual: int) -> pl.DataFrame:
    genres = ["drosophila", *["literary"] * literary, *["factual"] * factual]
    frame = {
        "prompt": range(len(genres)),
        "text": "Say:",
        "genre": genres,
        "continuation": [PROSE] * len(genres),
    }
    return pl.DataFrame(frame, schema_overrides={"prompt": pl.Int32})


def mutants_of(loci: int, each: int = 2) -> pl.DataFrame:
    rows = [(layer, "down", row, row, "max", True) for layer in range(loci) for row in range(each)]
    return pl.DataFrame(rows, schema=[*MUTANT_KEY, "rare"], orient="row")


def outputs_of(writers: pl.DataFrame, panel: pl.DataFrame, text) -> pl.DataFrame:
    """Outputs ``text(mutant, prompt, genre)``."""
    rows = [
        (*mutant, prompt, text(mutant, prompt, genre))
        for mutant in writers.select(MUTANT_KEY).iter_rows()
        for prompt, genre in panel.select("prompt", "genre").iter_rows()
    ]
    frame = pl.DataFrame(rows, schema=[*MUTANT_KEY, "prompt", "continuation"], orient="row")
    return frame.cast({"prompt": pl.Int32})


def changes_of(outputs: pl.DataFrame, writers: pl.DataFrame, panel: pl.DataFrame) -> pl.DataFrame:
    wild = measured_outputs(panel.select("prompt", "continuation"), {"the"})
    return genre_changes(measured_outputs(outputs, {"the"}), wild, writers, panel)


def test_mutants_that_turn_literary_prompts_into_poems_are_found():
    panel, writers = panel_of(12, 8), mutants_of(4)
    poems = np.random.default_rng(0).random((4, 13)) < 0.7

    def text(mutant, prompt, genre):
        return POEM if genre == "literary" and poems[mutant[0], prompt] else PROSE

    found = changes_of(outputs_of(writers, panel, text), writers, panel)
    assert found["measure"].to_list() == list(MEASURES)
    assert set(found["who"]) == {"rare"}
    row = found.row(by_predicate=pl.col("measure") == "poem", named=True)
    assert (row["mutants"], row["units"]) == (8, 4)
    assert (row["wild_literary"], row["wild_factual"], row["factual"]) == (0, 0, 0)
    assert row["literary"] == row["change"] == pytest.approx(poems[:, 1:].mean())
    assert row["low"] < row["change"] < row["high"]
    assert row["q"] < 0.02
    dialogue = found.row(by_predicate=pl.col("measure") == "dialogue", named=True)
    assert (dialogue["change"], dialogue["p"]) == (0, 1)


def test_common_words_have_rows_of_their_own_and_a_lone_mutant_is_not_tested():
    panel = panel_of(4, 3)
    writers = mutants_of(1, 3).with_columns(rare=pl.Series([True, False, False]))
    found = changes_of(outputs_of(writers, panel, lambda *_: POEM), writers, panel)
    counts = found.group_by("who", maintain_order=True).agg(pl.col("mutants", "units").first())
    assert counts.rows() == [("rare", 1, 1), ("common", 2, 2)]
    assert found.filter(who="rare")["p"].is_null().all()
    assert found.filter(who="common")["p"].is_not_null().all()


def test_a_panel_without_genres_has_no_row():
    writers, panel = mutants_of(2), panel_of(4, 0)
    assert changes_of(outputs_of(writers, panel, lambda *_: PROSE), writers, panel).is_empty()


@pytest.mark.slow
def test_the_level_of_shares_where_prompts_and_mutants_differ():
    """Poems, whose chance depends on mutant and prompt, and not on the genre."""
    random, panel, writers = np.random.default_rng(0), panel_of(40, 20), mutants_of(8, 3)
    p = []
    for _ in range(500):
        prompt, locus = random.normal(0, 1, 61), random.normal(0, 0.5, 8)
        score = random.normal(0, 1, (8, 3, 61)) + prompt + locus[:, None, None]
        outputs = outputs_of(
            writers,
            panel,
            lambda mutant, number, _, score=score: POEM if score[mutant[0], mutant[2], number] > 1 else PROSE,
        )
        found = changes_of(outputs, writers, panel)
        p.append(found.filter(measure="poem")["p"].item())
    assert 0.02 <= np.mean(np.array(p) < 0.05) <= 0.07
