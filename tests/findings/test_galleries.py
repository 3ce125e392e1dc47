"""Maps of some sorts of NSMs: what is white in them, what is grey, and what the legend calls both."""

import polars as pl
import pytest

from mutascope.analysis.status import Status
from mutascope.figures import PAPER, draw_gallery
from mutascope.findings import ScreenSet, figure_named
from mutascope.findings.galleries import NOT_PANELLED, flagged, marked, titled
from stores import records_of, write_screen

LOCUS = (0, "v")


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> ScreenSet:
    """A screen of 2 x 4 sites: the first three columns have NSMs."""
    folder = tmp_path_factory.mktemp("galleries") / "text"
    return ScreenSet([write_screen(folder, records_of({LOCUS: "+-#.\n+-#."}), shapes={LOCUS: (3, 4)})])


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_white_is_known_and_grey_is_not(given):
    label = given.labels[0]
    records = given.records[label]
    known = records.filter(pl.col("row") == 0)
    picked = flagged(records, known, known.filter(pl.col("col") == 0), "picked")
    (data,) = marked(given, label, picked, LOCUS, [("", pl.col("picked"))], "not asked")
    grey, white = Status.UNSCREENED, Status.SILENT
    assert data.status.tolist() == [
        [Status.MAX_ONLY, white, white, white],
        [grey, grey, grey, white],  # a silent mutant is none of them, whatever is known
        [grey] * 4,
    ]
    one_sided = ["max only, or\nmin not known", "min only, or\nmax not known"]
    told = [*one_sided, "both", "no such NSM", "unscreened or\nnot asked"]
    assert legend(draw_gallery([[data]], "")) == told
    (plain,) = marked(given, label, records, LOCUS, [("", pl.col("col") == 0)])
    assert legend(draw_gallery([[plain, data]], "")) == told


def test_the_legend_of_maps_in_which_white_means_two_things_says_both(given):
    label = given.labels[0]
    (data,) = marked(given, label, given.records[label], LOCUS, [("", pl.col("col") == 0)])
    together = draw_gallery([[data, titled(given, label, LOCUS, "all")]], "")
    assert legend(together)[-2:] == ["no such NSM or\nsilent", "unscreened"]


def test_mutants_that_were_not_put_on_the_panel_are_grey_on_sheets_of_rare_words(folders):
    given = ScreenSet(list(folders.values()))
    (panel,) = given.panels
    drawn = dict(figure_named("rare_sheets").draw(given, PAPER))
    assert any(NOT_PANELLED in told for told in legend(drawn[panel]))  # a third of the NSMs was put on it
