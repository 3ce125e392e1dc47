"""The operations of ``fma32-1`` on a CPU (docs/numerics.md is their specification).

Every element of a result is a fixed sequence of roundings of its own row's inputs: it does not depend on what else
is in the batch, on threads, or on the processor. Tensors are float32; with ``half`` every result is rounded to
bfloat16, as torch rounds it, and kept in float32.
"""

from __future__ import annotations

from mutascope.numerics.cpu.attention import Heads, attend, attend_alone, new_cache
from mutascope.numerics.cpu.functions import cos_sin, exp, gumbel, log, power, tanh
from mutascope.numerics.cpu.library import SUMS, floats, threads_for_kernels
from mutascope.numerics.cpu.maps import (
    ACTIVATION_NAMES,
    ACTIVATIONS,
    Packed,
    Strips,
    activate,
    linear,
    pack,
    pack_pair,
)
from mutascope.numerics.cpu.norms import norm, norm_heads
from mutascope.numerics.cpu.sample import sample, shortlist, weigh

__all__ = [
    "ACTIVATIONS",
    "ACTIVATION_NAMES",
    "SUMS",
    "Heads",
    "Packed",
    "Strips",
    "activate",
    "attend",
    "attend_alone",
    "cos_sin",
    "exp",
    "floats",
    "gumbel",
    "linear",
    "log",
    "new_cache",
    "norm",
    "norm_heads",
    "pack",
    "pack_pair",
    "power",
    "sample",
    "shortlist",
    "tanh",
    "threads_for_kernels",
    "weigh",
]
