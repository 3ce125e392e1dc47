"""Screens that were predicted, in part or whole: what tables and figures take from calls, records and sample."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from matplotlib.colors import to_rgb

from mutascope.analysis.status import Status
from mutascope.figures.palette import PAPER
from mutascope.figures.registry import FIGURES
from mutascope.findings import Screens
from mutascope.results import Results
from stores import random_records, write_predictions, write_screen

GRID = {"v": (6, 8)}


def change_manifest(folder: Path, **changes) -> Path:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Path:
    """A predicted screen whose first three rows were run."""
    whole = random_records(1, GRID, 0)
    run = whole.filter(pl.col("row") < 3)
    folder = write_screen(tmp_path_factory.mktemp("mixed") / "s", run, name="say", shapes={(0, "v"): (6, 8)})
    return write_predictions(folder, whole)


def draw(given, name):
    return dict(FIGURES[name].draw(given, PAPER))


def test_cosine_maps_leave_out_what_was_not_run(mixed):
    (figure,) = draw(Screens([mixed]), "cosine_maps").values()
    grey = to_rgb(PAPER.statuses[Status.UNSCREENED])
    for axes in figure.axes[:4]:
        unknown = np.isclose(axes.images[0].get_array(), grey).all(axis=-1)
        assert not unknown[:3].any(), axes.get_label()
        assert unknown[3:].all(), axes.get_label()


def test_the_sheet_tells_what_was_predicted_as_the_map_does(mixed):
    (drawn,) = draw(Screens([mixed]), "sheet").values()
    alone = Results(mixed).sheet()
    images = [figure.axes[0].images[0].get_array() for figure in (drawn, alone)]
    assert np.array_equal(*images)
    dots = drawn.axes[0].collections[0].get_offsets()
    assert set(dots[:, 1]) == {0, 1, 2}
    for figure in (drawn, alone):
        assert "PREDICTED where not marked" in " ".join(text.get_text() for text in figure.texts)
        assert "lighter: predicted" in [text.get_text() for text in figure.legends[0].get_texts()]
