"""What a decoder layer does besides linear maps, with torch; mutascope.engine.kernels does it faster on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mutascope.engine.deltas import Group
from mutascope.engine.places import Places


class Operations:
    """On any device and in any dtype."""

    def mutate(self, group: Group, x: Tensor, out: Tensor) -> Tensor:
        """Add the deltas of a linear map to its output, in place.

        Args:
            group: the deltas.
            x: input, [rows, steps, input features], dense.
            out: output, [rows, steps, output features], dense.
        """
        read, written = group.elements(x.shape[1], x.shape[2], out.shape[2])
        return out.put_(written, x.take(read) @ group.change, accumulate=True)

    def norm(self, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        """Return rows of x, [..., width], divided by their root mean squares, times weight, [width]."""
        scale = torch.rsqrt(x.square().mean(-1, keepdim=True).add_(epsilon))
        return (x * scale).mul_(weight)

    def gate(self, gate: Tensor, up: Tensor) -> Tensor:
        """Return silu(gate) * up, in the place of ``gate``; both are dense and of one shape."""
        return F.silu(gate, inplace=True).mul_(up)

    def rotate(self, x: Tensor, places: Places) -> Tensor:
        """Return x, [rows, steps, heads, width], with the rotary embedding applied, in the place of ``x`` or not."""
        first, second = x.chunk(2, dim=-1)
        sin, cos = places.sin[: len(x)], places.cos[: len(x)]
        return torch.cat((-second, first), dim=-1).mul_(sin).addcmul_(x, cos)

    def place(self, keys: Tensor, values: Tensor, cache: Tensor, places: Places) -> None:
        """Write keys, rotated, and values into the cache of a layer.

        Args:
            keys, values: [rows, steps, key/value heads, width].
            cache: [2, rows or more, key/value heads, positions, width], dense in the last two axes.
            places: of the tokens.
        """
        rows, steps = keys.shape[:2]
        keys = self.rotate(keys, places)
        if len(places.positions) == 1:
            here = slice(places.stop - steps, places.stop)
            cache[0, :rows, :, here], cache[1, :rows, :, here] = keys.transpose(1, 2), values.transpose(1, 2)
        else:
            row, at = torch.arange(rows, device=keys.device)[:, None], places.positions[:rows]
            cache[0][row, :, at], cache[1][row, :, at] = keys, values

    def attend(self, q: Tensor, cache: Tensor, places: Places, window: int, scale: float) -> Tensor:
        """Return what tokens see.

        Args:
            q: queries, [rows, steps, heads, width], dense.
            cache: keys and values of the layer, those of the tokens included, [2, rows or more, key/value heads,
                positions, width], dense in the last two axes.
            places: of the tokens.
            window: positions that a token looks back at, itself included.
            scale: of the scores.

        Returns:
            [rows, steps, heads * width].
        """
        rows, steps, heads, width = q.shape
        groups = cache.shape[2]
        queries = heads // groups
        # the queries of a key/value head are packed along the positions: no repeated keys and values
        packed = q.view(rows, steps, groups, queries, width).permute(0, 2, 3, 1, 4)
        packed = packed.reshape(rows, groups, queries * steps, width)
        mask = places.mask(window, queries)
        seen = slice(max(0, places.stop - window) if mask is None else 0, places.stop)
        keys, values = cache[0, :rows, :, seen], cache[1, :rows, :, seen]
        if mask is not None:
            mixed = F.scaled_dot_product_attention(packed, keys, values, attn_mask=mask[:rows], scale=scale)
        else:  # a few queries per row: two small products are faster than the fused kernel
            mixed = (packed * scale).matmul(keys.transpose(2, 3)).softmax(-1).matmul(values)
        mixed = mixed.view(rows, groups, queries, steps, width).permute(0, 3, 1, 2, 4)
        return mixed.reshape(rows, steps, -1)
