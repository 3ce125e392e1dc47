"""Small screens, with and without every sort of assay."""

from pathlib import Path

import polars as pl
import pytest
from stores import as_choice, as_panel, random_covariates, random_records, write_screen

SHAPES = {"v": (6, 8), "gate": (10, 6), "down": (6, 10)}


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> dict[str, Path]:
    """Two text assays, a choice assay and a panel of three loci and two layers; the first one with covariates."""
    root = tmp_path_factory.mktemp("screens")
    first, second = (random_records(2, SHAPES, seed) for seed in (0, 1))
    answers, wild = as_choice(first)
    panelled, outputs, spoken = as_panel(first)
    shapes = {(layer, kind): shape for layer in range(2) for kind, shape in SHAPES.items()}
    questions = [f"Question {index}?" for index in range(len(wild))]
    return {
        "drosophila": write_screen(root / "a", first, name="drosophila", covariates=random_covariates(first)),
        "newton": write_screen(root / "b", second, name="newton"),
        "mmlu21": write_screen(root / "c", answers, name="mmlu21", wild=wild, prompts=questions),
        "panel": write_screen(
            root / "d",
            panelled.with_columns(continuation=pl.lit("The fly")),
            name="panel",
            wild=spoken,
            prompts=[f"Say {index}:" for index in range(len(spoken))],
            outputs=outputs,
            shapes=shapes,
        ),
    }
