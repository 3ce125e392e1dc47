"""What a prediction must beat: norms that pruning goes by, and the gradient of one number."""

from __future__ import annotations

from collections.abc import Sequence

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


def site_baselines(
    model: Model, plan: Plan, tiling: Tiling, prompts: Sequence[Prompt], written: Sequence[Sequence[int]]
) -> pl.DataFrame:
    """Return norms and gradient of every site of a design (docs/format.md, 5.11).

    Args:
        model: the wild type.
        plan: whose sites count.
        tiling: of the sites.
        prompts: of the assay.
        written: token ids that the wild type put out, per prompt.
    """
    norms = site_covariates(model, plan, tiling, prompts, written)
    grids = gradient_times_weight(model, plan.loci, tiling, prompts, written)
    frames = []
    for locus in plan.loci:
        row, col = np.indices(grids[locus].shape).reshape(2, -1)
        frame = pl.DataFrame({"row": row, "col": col, "gradient": grids[locus].ravel()})
        frames.append(frame.with_columns(layer=pl.lit(locus.layer), kind=pl.lit(locus.kind)))
    gradients = pl.concat(frames).select(
        pl.col(name).cast(BASELINE_SCHEMA[name]) for name in (*SITE_KEY, "gradient")
    )
    return norms.join(gradients, on=SITE_KEY, how="left", maintain_order="left").select(list(BASELINE_SCHEMA))


def gradient_times_weight(
    model: Model,
    loci: Sequence[Locus],
    tiling: Tiling,
    prompts: Sequence[Prompt],
    written: Sequence[Sequence[int]],
) -> dict[Locus, np.ndarray]:
    """Return, of every tile, the sum of gradient x weight, float64 [site rows, site cols].

    The gradient is that of the log-probability, at temperature 1, of all that the wild type wrote: to first order, the
    sum is what setting the tile to zero takes from it.
    """
    chain = Chain(model.network, [(*p.tokens, *w[:-1]) for p, w in zip(prompts, written, strict=True)])
    found = {locus: np.zeros(tiling.grid(locus)) for locus in loci}
    for text, (prompt, tokens) in enumerate(zip(prompts, written, strict=True)):
        places = torch.arange(len(tokens)) + len(prompt.tokens) - 1
        for locus, x, grad in chain.gradients(text, places, _direction(chain, text, places, tokens), loci):
            matrix = matrix_of(model.network, locus).float()
            found[locus] += tile_sums((grad.T @ x * matrix).double(), tiling.tile)
    return found


def _direction(chain: Chain, text: int, places: Tensor, tokens: Sequence[int]) -> Tensor:
    """Return the gradient of the log-probability of the tokens at the logits of their places, [n, vocabulary]."""
    logits = chain.logits(text, places)
    direction = -logits.softmax(-1)
    direction[torch.arange(len(tokens)), torch.tensor(list(tokens))] += 1
    return direction
