"""Scores of changes, added up element by element and against real changes of weights; the file of a prediction."""

import numpy as np
import polars as pl
import pytest
import torch

from builders import tiny_model
from mutascope import Design, Prediction, TextAssay, load_model
from mutascope.core.genome import Tiling
from mutascope.core.protocol import Prompt
from mutascope.model.matrices import matrix_of, module_of
from mutascope.predict.baselines import change_scores
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


def corners(locus, model):
    """The first and the last tile of a locus, as views, with their sites."""
    matrix = matrix_of(model.network, locus)
    rows, cols = Tiling(TILE).grid(locus)
    for row, col in ((0, 0), (rows - 1, cols - 1)):
        yield (row, col), matrix[row * TILE : (row + 1) * TILE, col * TILE : (col + 1) * TILE]


@pytest.mark.parametrize("family", ["llama", "gpt2", "phi"])
def test_gradient_x_change_is_the_slope_of_the_log_probability_towards_the_mutation(family, tmp_path):
    model = load_model(str(tiny_model(tmp_path, family, std=0.2)), dtype="float64")
    loci = [locus for locus in model.genome if locus.layer in (0, 2)]
    found = change_scores(model, loci, Tiling(TILE), PROMPTS, WRITTEN)
    step = 5e-3  # norms of a Llama are computed in float32
    for locus in loci[::2]:
        matrix = matrix_of(model.network, locus)
        for way, value in (("max", matrix.max()), ("zero", torch.tensor(0.0))):
            grid = found[locus][f"gradient_{way}"]
            assert grid.shape == Tiling(TILE).grid(locus)
            for site, tile in corners(locus, model):
                kept, ends = tile.clone(), []
                for sign in (1, -1):
                    tile.copy_(torch.lerp(kept, value.to(kept.dtype).expand_as(kept), sign * step))
                    ends.append(log_probability(model.network))
                tile.copy_(kept)
                slope = (ends[0] - ends[1]) / (2 * step)
                assert grid[site] == pytest.approx(slope, rel=2e-3, abs=2e-3 * np.abs(grid).max())


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_wanda_is_each_element_of_the_change_times_the_norm_of_what_it_reads(family, tmp_path):
    model = load_model(str(tiny_model(tmp_path, family, std=0.2)))
    loci = [locus for locus in model.genome if locus.layer == 1]
    found = change_scores(model, loci, Tiling(TILE), PROMPTS, WRITTEN)
    for locus in loci:
        read: list[np.ndarray] = []
        handle = module_of(model.network, locus).register_forward_pre_hook(
            lambda _, given, to=read: to.append(given[0][0].detach().numpy())  # pyright: ignore[reportAttributeAccessIssue]
        )
        for prompt, written in zip(PROMPTS, WRITTEN, strict=True):
            model.network(torch.tensor([[*prompt.tokens, *written[:-1]]]), use_cache=False)
        handle.remove()
        inputs = np.concatenate(read).astype(float)
        assert len(inputs) == 4 + 2 + 3 + 1  # tokens of prompts and texts, without the last of a text
        matrix = matrix_of(model.network, locus).detach().numpy().astype(float)
        for way, value in (("max", matrix.max()), ("min", matrix.min()), ("zero", 0.0)):
            for (row, col), tile in corners(locus, model):
                total = 0.0
                for i, j in np.ndindex(*tile.shape):
                    feature = inputs[:, col * TILE + j]
                    total += abs(value - matrix[row * TILE + i, col * TILE + j]) * (feature @ feature) ** 0.5
                assert found[locus][f"wanda_{way}"][row, col] == pytest.approx(total, rel=1e-5)


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
    assert np.isfinite(both.select("wanda_max", "gradient_min").to_numpy()).all()
    assert both.select(pl.col("wanda_min") > 0).to_series().all()
