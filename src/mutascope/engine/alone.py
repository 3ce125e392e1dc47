"""Many tokens at once through a network's own layers, with the numbers that it computes for one token alone.

A linear map of one token rounds otherwise than the same map of many, and so does attention. All else in a layer treats
each token by itself. So within :class:`Alone` these two functions take the tokens one after the other: a layer's
weights are read from memory once for all of them, and a batched product keeps every core busy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class Alone(TorchFunctionMode):
    """Within it linear maps and attention compute every token of [1, tokens, ...] alone.

    Attention must not be causal by itself (``is_causal=False``): each token is given the keys and values up to its own.

    Attributes:
        batched: by shape of a weight, whether a batched product of single tokens gave ``F.linear``'s numbers, to the
            last bit; where it did not, ``F.linear`` is called for every token.
    """

    def __init__(self) -> None:
        super().__init__()
        self.batched: dict[tuple[int, ...], bool] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is F.linear:
            return self._linear(*args, **(kwargs or {}))
        if func is F.scaled_dot_product_attention:
            return _attention(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _linear(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        shape = tuple(weight.shape)
        if self.batched.get(shape):
            return _batched(x, weight, bias)
        each = torch.cat([F.linear(token, weight, bias) for token in x.split(1, dim=1)], dim=1)
        if shape not in self.batched:
            self.batched[shape] = torch.equal(each, _batched(x, weight, bias))
        return each


def _batched(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    tokens = x.transpose(0, 1)
    weights = weight.T.expand(len(tokens), -1, -1)
    out = tokens.bmm(weights) if bias is None else torch.baddbmm(bias, tokens, weights)
    return out.transpose(0, 1)


def _attention(query: Tensor, key: Tensor, value: Tensor, **settings: Any) -> Tensor:
    """Attend from the queries of the last tokens, [1, heads, tokens, width], to all keys up to each one's own."""
    before = key.shape[2] - query.shape[2] + 1
    return torch.cat(
        [
            F.scaled_dot_product_attention(
                token, key[:, :, : before + at], value[:, :, : before + at], **settings
            )
            for at, token in enumerate(query.split(1, dim=2))
        ],
        dim=2,
    )
