"""What a prediction must beat: the scores that pruning goes by, of the change that a mutation makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from torch import Tensor

from mutascope.core.design import Plan
from mutascope.core.genome import Locus, Tiling
from mutascope.core.protocol import Prompt
from mutascope.core.schema import BASELINE_SCHEMA, SITE_KEY
from mutascope.model.activations import site_covariates, tile_sums
from mutascope.model.loading import Model
from mutascope.model.matrices import matrix_of
from mutascope.predict.autograd import Chain

_BLOCK = 2**22
"""Weights converted to float64 at a time, which bounds the memory."""


def site_baselines(
    model: Model, plan: Plan, tiling: Tiling, prompts: Sequence[Prompt], written: Sequence[Sequence[int]]
) -> pl.DataFrame:
    """Return the baselines of every site of a design (docs/format.md, 5.11).

    Args:
        model: the wild type.
        plan: whose sites count.
        tiling: of the sites.
        prompts: of the assay.
        written: token ids that the wild type put out, per prompt.
    """
    norms = site_covariates(model, plan, tiling, prompts, written)
    frames = []
    for locus, grids in change_scores(model, plan.loci, tiling, prompts, written).items():
        row, col = np.indices(tiling.grid(locus)).reshape(2, -1)
        frame = pl.DataFrame({"row": row, "col": col, **{name: grid.ravel() for name, grid in grids.items()}})
        frames.append(frame.with_columns(layer=pl.lit(locus.layer), kind=pl.lit(locus.kind)))
    scores = pl.concat(frames)
    names = [*SITE_KEY, *(name for name in scores.columns if name not in SITE_KEY)]
    scores = scores.select(pl.col(name).cast(BASELINE_SCHEMA[name]) for name in names)
    return norms.join(scores, on=SITE_KEY, how="left", maintain_order="left").select(list(BASELINE_SCHEMA))


@dataclass
class _Sums:
    """Sums over the texts: of gradient, and gradient x weight, by tile; of the squared inputs, by feature."""

    gradient: np.ndarray
    product: np.ndarray
    squares: Tensor

    @classmethod
    def none(cls, model: Model, locus: Locus, tiling: Tiling) -> _Sums:
        """Return sums over no text."""
        squares = torch.zeros(locus.cols, dtype=torch.float64, device=model.network.device)
        return cls(np.zeros(tiling.grid(locus)), np.zeros(tiling.grid(locus)), squares)


def change_scores(
    model: Model,
    loci: Sequence[Locus],
    tiling: Tiling,
    prompts: Sequence[Prompt],
    written: Sequence[Sequence[int]],
) -> dict[Locus, dict[str, np.ndarray]]:
    """Return, of every tile and mutation, sums over the elements of the change, float64 [site rows, site cols].

    ``wanda_max``, ``wanda_min``, ``wanda_zero``: of |change| x L2 norm of the input feature over all tokens that the
    wild type was fed (that of ``zero`` is Wanda's |weight| x norm of the input; Sun et al. 2024, arXiv:2306.11695).
    ``gradient_max``, ``gradient_min``, ``gradient_zero``: of gradient x change, the gradient that of the
    log-probability, at temperature 1, of all that the wild type wrote. To first order, it is how much this changes.
    """
    chain = Chain(model.network, [(*p.tokens, *w[:-1]) for p, w in zip(prompts, written, strict=True)])
    found = {locus: _Sums.none(model, locus, tiling) for locus in loci}
    for text, (prompt, tokens) in enumerate(zip(prompts, written, strict=True)):
        places = torch.arange(len(tokens)) + len(prompt.tokens) - 1
        for locus, x, grad in chain.gradients(text, places, _direction(chain, text, places, tokens), loci):
            gradient, sums = grad.T @ x, found[locus]
            sums.gradient += tile_sums(gradient.double(), tiling.tile)
            sums.product += tile_sums(
                (gradient * matrix_of(model.network, locus).float()).double(), tiling.tile
            )
            sums.squares += x.double().square().sum(0)
    return {
        locus: _scores(matrix_of(model.network, locus), sums, tiling.tile) for locus, sums in found.items()
    }


def _scores(matrix: Tensor, sums: _Sums, tile: int) -> dict[str, np.ndarray]:
    """Return the scores of a locus, by name and mutation."""
    norms = sums.squares.sqrt()
    written = {"max": float(matrix.amax()), "min": float(matrix.amin()), "zero": 0.0}
    step = tile * max(1, _BLOCK // (tile * matrix.shape[1]))
    strips = [matrix[start : start + step] for start in range(0, len(matrix), step)]
    scores = {}
    for name, value in written.items():
        parts = [tile_sums((strip.double() - value).abs() * norms, tile) for strip in strips]
        scores[f"wanda_{name}"] = np.concatenate(parts)
        scores[f"gradient_{name}"] = value * sums.gradient - sums.product
    return scores


def _direction(chain: Chain, text: int, places: Tensor, tokens: Sequence[int]) -> Tensor:
    """Return the gradient of the log-probability of the tokens at the logits of their places, [n, vocabulary]."""
    logits = chain.logits(text, places)
    direction = -logits.softmax(-1)
    direction[torch.arange(len(tokens)), torch.tensor(list(tokens))] += 1
    return direction
