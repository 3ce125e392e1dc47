"""Screens that were predicted, in part or whole: what tables and figures take from calls, records and sample."""

import json
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.colors import to_rgb

from mutascope.analysis.status import Status
from mutascope.figures.palette import PAPER
from mutascope.figures.registry import FIGURES
from mutascope.findings import Screens
from stores import random_records, write_predictions, write_screen

GRID = {"v": (6, 8)}


def change_manifest(folder: Path, **changes) -> Path:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


def draw(given, name):
    return dict(FIGURES[name].draw(given, PAPER))


def test_cosine_maps_leave_out_what_was_not_run(tmp_path):
    whole = random_records(1, GRID, 0)
    run = whole.filter(pl.col("row") < 3)
    folder = write_screen(tmp_path / "s", run, name="say", shapes={(0, "v"): GRID["v"]})
    write_predictions(folder, whole)
    (figure,) = draw(Screens([folder]), "cosine_maps").values()
    grey = to_rgb(PAPER.statuses[Status.UNSCREENED])
    for axes in figure.axes[:4]:
        unknown = np.isclose(axes.images[0].get_array(), grey).all(axis=-1)
        assert not unknown[:3].any(), axes.get_label()
        assert unknown[3:].all(), axes.get_label()
