"""The fastest of the products that there are for a linear map on a CPU.

``F.linear`` sends float32 to MKL. oneDNN is twice as fast on some processors and slower on others; the compiled kernel,
which packs a weight once, is the fastest where there is no AVX-512. All round in the last bits only, like batches of
another shape. So they are timed once, at a map of the network.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from mutascope.engine.kernels import kernels

LinearMap = Callable[[Tensor], Tensor]
"""Of an input [..., cols]: the output, [..., rows]."""
Product = Callable[[Tensor, Tensor | None], LinearMap]
"""Of a weight [rows, cols] and a bias [rows] or None: their linear map."""

_ROWS = 128
_TIMES = 9
_CLEARLY = 1.2


def default(weight: Tensor, bias: Tensor | None) -> LinearMap:
    """Return ``F.linear``."""
    return lambda x: F.linear(x, weight, bias)


def onednn(weight: Tensor, bias: Tensor | None) -> LinearMap:
    """Return the map by oneDNN."""
    return lambda x: torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def packed(weight: Tensor, bias: Tensor | None) -> LinearMap:
    """Return the map by the compiled kernel, which keeps a copy of the weight."""
    compiled = kernels()
    assert compiled is not None, "there is a compiler where this is taken"
    panels = compiled.pack(weight)
    return lambda x: compiled.product(x, panels, bias, len(weight))


def fastest_product(weight: Tensor, may_copy: bool = True) -> Product:
    """Return the fastest product for a weight [rows, cols], timed on its device; ``F.linear`` where there is but one.

    oneDNN must be clearly faster: it rounds more, so that more picks are near ties.

    Args:
        weight: one of those that the product is for.
        may_copy: whether there is memory for copies of the weights.
    """
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        return default
    handicaps = {default: 1.0}
    if torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        handicaps[onednn] = _CLEARLY
    if may_copy and kernels():
        handicaps[packed] = 1.0
    seconds = _seconds({product: product(weight, None) for product in handicaps}, weight.shape[1])
    return min(handicaps, key=lambda product: handicaps[product] * seconds[product])


def _seconds(maps: dict[Product, LinearMap], cols: int) -> dict[Product, float]:
    """Return the median times of maps, taken in turns, as a machine is not equally fast all the time."""
    x = torch.ones(_ROWS, cols)
    times: dict[Product, list[float]] = {product: [] for product in maps}
    with torch.inference_mode():
        for _ in range(_TIMES):
            for product, apply in maps.items():
                start = time.perf_counter()
                apply(x)
                times[product].append(time.perf_counter() - start)
    return {product: sorted(some)[_TIMES // 2] for product, some in times.items()}
