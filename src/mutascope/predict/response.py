"""How the mutants of a locus change the margins: tile sums, and the MLP's own response behind gate.

For a linear map y = W x and a tile (R, C), writing scale * W + constant over the tile changes y at position p by

    change_pr = constant * sum_C x_p - (1 - scale) * (W_tile x_p)_r        for r in R

and a margin with the gradient g at y by sum_p sum_R g_pr change_pr. Two sums over the tile, the *sum of G* and the *sum
of G W* with G = sum_p g_p x_p^T, give every fill; the matrix G is never formed. Positions are taken in chunks: a chunk
concerns the targets that can see it, and what it needs is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mutascope.predict.fills import Fill
from mutascope.predict.layout import Index, Reach

_CHUNK = 32
"""Positions at a time."""


@dataclass(frozen=True)
class Tiles:
    """A locus, and how the tiles lie in it.

    Attributes:
        matrix: [rows, cols], in the dtype of the weights.
        side: of a tile.
        only: rows of sites that are asked for, ascending; by default all.
    """

    matrix: Tensor
    side: int
    only: tuple[int, ...] | None = None

    @property
    def high(self) -> int:
        """Height of a tile in elements: the side, cut to the matrix."""
        return min(self.side, self.matrix.shape[0])

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of sites that are asked for."""
        rows = self._all_rows if self.only is None else len(self.only)
        return rows, -(-self.matrix.shape[1] // self.side)

    @property
    def _all_rows(self) -> int:
        return -(-self.matrix.shape[0] // self.side)

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what every column of tiles adds to the output, and the sums of the inputs there.

        Args:
            x: inputs, float32 [positions, cols].

        Returns:
            float32 [site cols, positions, rows] and [site cols, positions].
        """
        wide = min(self.side, x.shape[1])
        padding = self.grid[1] * wide - x.shape[1]
        inputs = F.pad(x, (0, padding)).unflatten(1, (-1, wide)).transpose(0, 1)
        weights = F.pad(self.matrix, (0, padding)).unflatten(1, (-1, wide)).permute(1, 2, 0)
        return inputs @ weights.float(), inputs.sum(-1)

    def by_row(self, x: Tensor) -> Tensor:
        """Split output features [..., rows] into rows of sites, [..., site rows, high], the last one padded with 0."""
        rows = self._all_rows
        split = F.pad(x, (0, rows * self.high - x.shape[-1])).unflatten(-1, (rows, self.high))
        return split if self.only is None else split[..., self.only, :]


Respond = Callable[[Tensor, Index], Tensor]
"""Turns the change of a map's output [site cols, positions, rows] at some positions into that of what it is
contracted with."""


def linear_changes(tiles: Tiles, x: Tensor, grad: Tensor, fills: Sequence[Fill], reach: Reach) -> Tensor:
    """Return the change of every margin under every fill of every tile of a map, first order in its output.

    Args:
        tiles: of the locus.
        x: inputs, [positions, cols].
        grad: gradients at the output, [targets, positions, rows].
        fills: what is written.
        reach: which targets see which positions.

    Returns:
        float32 [fills, site rows, targets, site cols].
    """
    rows, cols = tiles.grid
    count = grad.shape[0]
    of_weights, of_gradient = (grad.new_zeros(rows, count, cols) for _ in range(2))
    for at, _, some in reach.chunks(torch.arange(len(x)), _CHUNK):
        parts, sums = tiles.parts(x[at])
        seen = tiles.by_row(grad[some, at])  # [targets, positions, site rows, high]
        of_gradient[:, some] += torch.einsum("tpr,cp->rtc", seen.sum(-1), sums)
        _contract(of_weights[:, some], seen, tiles.by_row(parts))
    return torch.stack([fill.constant * of_gradient - (1 - fill.scale) * of_weights for fill in fills])


def response_changes(
    tiles: Tiles,
    x: Tensor,
    grad: Tensor,
    fills: Sequence[Fill],
    reach: Reach,
    respond: Respond,
) -> Tensor:
    """Return the changes as :func:`linear_changes` does, with the exact response of what follows the map.

    Args:
        grad: gradients behind the response, [targets, positions, rows].
        respond: the response.
    """
    rows, cols = tiles.grid
    changes = grad.new_zeros(len(fills), rows, grad.shape[0], cols)
    for at, _, some in reach.chunks(torch.arange(len(x)), _CHUNK):
        parts, sums = tiles.parts(x[at])
        seen = tiles.by_row(grad[some, at])
        for fill, change in zip(fills, changes, strict=True):
            moved = respond((fill.scale - 1) * parts + fill.constant * sums[..., None], at)
            _contract(change[:, some], seen, tiles.by_row(moved))
    return changes


def _contract(into: Tensor, grad: Tensor, change: Tensor) -> None:
    """Add gradient times change, summed over positions and the rows of a tile.

    Args:
        into: [site rows, targets, site cols], changed in place.
        grad: [targets, positions, site rows, high].
        change: [site cols, positions, site rows, high].
    """
    grad = grad.permute(2, 0, 1, 3).flatten(2)
    change = change.permute(2, 1, 3, 0).flatten(1, 2)
    into += grad @ change


def gated(gate: Tensor, up: Tensor) -> Respond:
    """Return the response of silu(gate) * up to a change of gate.

    Args:
        gate, up: of the wild type, [positions, intermediate].
    """

    def respond(change: Tensor, at: Index) -> Tensor:
        before = gate[at]
        return F.silu(change.add_(before), inplace=True).sub_(F.silu(before)).mul_(up[at])

    return respond
