"""The faster of the two products that torch has for a linear map on a CPU.

``F.linear`` sends float32 to MKL, which reaches less than half of oneDNN's rate on some processors and more on others.
Both round in the last bits only, like batches of another shape. So they are timed once, at a map of the network.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Product = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Of an input [..., cols], a weight [rows, cols] and a bias [rows] or None: the output, [..., rows]."""

_ROWS = 128
_TIMES = 9
_CLEARLY = 1.2


def onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return what ``F.linear`` returns, from oneDNN."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def fastest_product(weight: Tensor) -> Product:
    """Return the faster product for a weight [rows, cols], timed on its device; ``F.linear`` where there is but one.

    oneDNN must be clearly faster: it rounds more, so that more picks are near ties.
    """
    has_onednn = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    if weight.device.type != "cpu" or weight.dtype != torch.float32 or not has_onednn:
        return F.linear
    x = torch.ones(_ROWS, weight.shape[1])
    return onednn if _seconds(F.linear, x, weight) > _CLEARLY * _seconds(onednn, x, weight) else F.linear


def _seconds(product: Product, x: Tensor, weight: Tensor) -> float:
    """Return the median time of a product."""
    times = []
    with torch.inference_mode():
        for _ in range(_TIMES):
            start = time.perf_counter()
            product(x, weight, None)
            times.append(time.perf_counter() - start)
    return sorted(times)[_TIMES // 2]
