"""Gradient x weight against real changes of weights, and the file that a prediction writes."""

import numpy as np
import polars as pl
import pytest
import torch

from builders import tiny_model
from mutascope import Design, Prediction, TextAssay, load_model
from mutascope.core.genome import Tiling
from mutascope.core.protocol import Prompt
from mutascope.model.matrices import matrix_of
from mutascope.predict.baselines import gradient_times_weight
from mutascope.store import ScreenFolder

PROMPTS = [Prompt("x", (0, 40, 50, 60)), Prompt("y", (0, 30, 20))]
WRITTEN = [(70, 80, 90), (25, 35)]
TILE = 16


def log_probability(network) -> float:
    total = 0.0
    for prompt, written in zip(PROMPTS, WRITTEN, strict=True):
        fed = torch.tensor([[*prompt.tokens, *written[:-1]]])
        with torch.inference_mode():
            found = network(fed, use_cache=False).logits[0].double().log_softmax(-1)
        first = len(prompt.tokens) - 1
        total += sum(float(found[first + step, token]) for step, token in enumerate(written))
    return total


@pytest.mark.parametrize("family", ["llama", "gpt2", "phi"])
def test_it_is_the_slope_of_the_log_probability_as_a_tile_shrinks(family, tmp_path):
    model = load_model(str(tiny_model(tmp_path, family, std=0.2)), dtype="float64")
    loci = [locus for locus in model.genome if locus.layer in (0, 2)]
    found = gradient_times_weight(model, loci, Tiling(TILE), PROMPTS, WRITTEN)
    step = 5e-3  # norms of a Llama are computed in float32
    for locus in loci[::2]:
        matrix = matrix_of(model.network, locus)
        rows, cols = Tiling(TILE).grid(locus)
        assert found[locus].shape == (rows, cols)
        for row, col in ((0, 0), (rows - 1, cols - 1)):
            tile = matrix[row * TILE : (row + 1) * TILE, col * TILE : (col + 1) * TILE]
            kept, ends = tile.clone(), []
            for way in (1, -1):
                tile.copy_(kept * (1 + way * step))
                ends.append(log_probability(model.network))
            tile.copy_(kept)
            slope = (ends[0] - ends[1]) / (2 * step)
            error = 2e-3 * np.abs(found[locus]).max()
            assert found[locus][row, col] == pytest.approx(slope, rel=2e-3, abs=error)


def test_a_prediction_writes_what_it_is_compared_with_once_for_every_locus(llama_folder, tmp_path):
    assay = TextAssay(name="short", prompt="Once upon a time:", max_new_tokens=5)

    def predict(*layers: int) -> pl.DataFrame:
        design = Design(layers=layers, kinds=("v", "down"))
        Prediction(str(llama_folder), assay, design, tile=12, sample=0).run(
            tmp_path / f"out{len(layers)}", quiet=True
        )
        found = ScreenFolder(str(tmp_path / f"out{len(layers)}")).baselines()
        assert found is not None
        return found

    one, both = predict(1), predict(0, 1)
    assert set(one["layer"]) == {1}
    assert both.filter(layer=1).equals(one)
    assert not both.select(pl.any_horizontal(pl.all().is_null())).to_series().any()
    assert np.isfinite(both["gradient"].to_numpy()).all()
