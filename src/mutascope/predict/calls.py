"""From the changes of the margins to what is predicted of every mutant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from mutascope.core.genome import Locus
from mutascope.core.schema import PREDICTION_SCHEMA
from mutascope.predict.targets import Targets

ERROR = 0.05
"""Scale of the error of a predicted change, as a share of it and of the mutant (docs/reference/predictions.md)."""

_HOPELESS = 1e30
"""Risk of a mutant for which the arithmetic of the prediction overflows."""


@dataclass(frozen=True)
class Calls:
    """What is predicted of the mutants of a locus, [mutations, site rows, site cols] each.

    Attributes:
        margin: smallest predicted margin, in units of logit / temperature; below 0 where an NSM is predicted.
        first_divergence: step of the first target whose predicted margin is negative, -1 without one.
        risk: expected number of failures, see :func:`make_calls`.
        silence: chance over the noise that the mutant writes the wild type's text; None where tokens are not sampled.
    """

    margin: Tensor
    first_divergence: Tensor
    risk: Tensor
    silence: Tensor | None

    def frame(self, locus: Locus, mutations: Sequence[str]) -> pl.DataFrame:
        """Return a row per mutant, by row, column and mutation, not calibrated yet (docs/format.md, 5.6)."""
        count, rows, cols = self.margin.shape
        site_row, site_col, mutation = (
            index.ravel() for index in np.meshgrid(range(rows), range(cols), range(count), indexing="ij")
        )
        margin, first, risk, silence = (
            None if x is None else x.permute(1, 2, 0).flatten().cpu().numpy()
            for x in (self.margin, self.first_divergence, self.risk, self.silence)
        )
        frame = pl.DataFrame(
            {"row": site_row, "col": site_col, "margin": margin, "first_divergence": first, "risk": risk}
        ).with_columns(
            silence=pl.lit(None) if silence is None else pl.Series(silence),
            layer=pl.lit(locus.layer),
            kind=pl.lit(locus.kind),
            mutation=pl.Series(np.array(mutations, dtype=object)[mutation], dtype=pl.String),
            first_divergence=pl.when(pl.col("first_divergence") >= 0).then("first_divergence"),
            probability=pl.lit(None),
        )
        return frame.select(pl.col(name).cast(kind) for name, kind in PREDICTION_SCHEMA.items())


def make_calls(changes: Tensor, targets: Targets) -> Calls:
    """Return what the changes of the margins mean for the mutants.

    Every predicted margin M_t + D_t has an error of its own, and a mutant is silent when none of them turns negative.
    With distance units (margins divided by the norm of their gradient at the final state, so that steps compare), the
    error is taken to have the scale s_t = ERROR sqrt(D_t^2 + mean over steps of D^2): it grows with the change itself
    and with the mutant's changes elsewhere, which tell how large it is. The chance to survive step t is the logistic
    function of (M_t + D_t) / s_t, and the *risk* is minus the logarithm of the product of these chances.

    The chance of silence is that of docs/reference/silence.md: with x the token of a step, p the wild type's
    probabilities and d the changes of logit / temperature, the product over steps of

        1 / (1 + sum_w p_w max(0, exp(d_w - d_x) - 1))

    where the tokens that are targets stand for all others. It is 0 where x is filtered out.

    Args:
        changes: [mutations, site rows, targets, site cols].
        targets: by step.
    """
    silence = _silence(changes, targets)
    margins = changes + targets.margins[:, None]
    if silence is not None:
        silence.masked_fill_((margins[:, :, targets.leaves] < 0).any(2), 0)
    margin = margins.amin(2)
    lost = (margins < 0).int()
    first = targets.steps[lost.argmax(2)].int().masked_fill(lost.amax(2) == 0, -1)
    unit = targets.seeds.norm(dim=-1)[:, None]
    squares = changes.div_(unit).square_()
    scale = squares.add_(squares.mean(2, keepdim=True)).sqrt_().mul_(ERROR).mul_(unit)
    smallest = torch.finfo(scale.dtype).eps
    risk = F.softplus(margins.div_(scale.add_(smallest)).neg_()).sum(2)
    risk = risk.nan_to_num(nan=torch.inf).clamp(max=_HOPELESS)
    return Calls(margin, first, risk, silence)


def _silence(changes: Tensor, targets: Targets) -> Tensor | None:
    if targets.weights is None:
        return None
    lost = changes.neg().expm1_().clamp_(min=0).mul_(targets.weights[:, None])
    mutations, rows, _, cols = lost.shape
    by_step = lost.new_zeros(mutations, rows, int(targets.steps.max()) + 1, cols)
    return by_step.index_add_(2, targets.steps, lost).log1p_().sum(2).nan_to_num(nan=torch.inf).neg().exp()
