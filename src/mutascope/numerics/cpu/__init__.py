"""The operations of ``fma32-1`` on a CPU (docs/numerics.md is their specification).

Every element of a result is a fixed sequence of roundings of its own row's inputs: it does not depend on what else
is in the batch, on threads, or on the processor. Tensors are float32, but for the weights, keys and values of networks
in bfloat16; with ``half`` every result is rounded to bfloat16, as torch rounds it, and kept in float32.
"""

from __future__ import annotations

import torch

from mutascope.core.cores import available_memory
from mutascope.numerics.cpu.attention import Heads, attend, attend_alone, copy_rows, new_cache, put_rows
from mutascope.numerics.cpu.functions import cos_sin, exp, gumbel, log, power, tanh
from mutascope.numerics.cpu.library import SUMS, floats, threads_for_kernels
from mutascope.numerics.cpu.maps import (
    ACTIVATION_NAMES,
    ACTIVATIONS,
    Packed,
    Strips,
    activate,
    fitting_rows,
    linear,
    pack,
    pack_pair,
    stack,
    strips,
)
from mutascope.numerics.cpu.norms import norm, norm_heads
from mutascope.numerics.cpu.rough import Rough, is_quick, rough, sample_rough
from mutascope.numerics.cpu.sample import sample, shortlist, weigh
from mutascope.numerics.sizes import Sizes

__all__ = [
    "ACTIVATIONS",
    "ACTIVATION_NAMES",
    "NAMES",
    "SIZES",
    "SUMS",
    "SYMMETRIC",
    "Heads",
    "Packed",
    "Rough",
    "Strips",
    "activate",
    "attend",
    "attend_alone",
    "copy_rows",
    "cos_sin",
    "exp",
    "fitting_rows",
    "floats",
    "free_memory",
    "gumbel",
    "is_quick",
    "linear",
    "log",
    "name_of",
    "new_cache",
    "norm",
    "norm_heads",
    "operand",
    "pack",
    "pack_pair",
    "power",
    "put_rows",
    "rough",
    "sample",
    "sample_rough",
    "shortlist",
    "stack",
    "strips",
    "tanh",
    "threads_for_kernels",
    "weigh",
]

NAMES = {torch.float32: "fma32-1", torch.bfloat16: "fma32-bf16-1"}
"""Name of the numerics of weights of a dtype; the number goes up when a bit of a result changes."""
SIZES = Sizes(
    rows=576,
    panel=384,
    verified=128,
    tokens=1024,
    states=128,
    followers=3,
    decoded=0.25,
    checked=0.25,
    leaders=1.0,
)
"""What keeps the caches of a processor warm."""
SYMMETRIC = True
"""Whether a product has the same bits when its factors are exchanged."""
operand = floats


def name_of(dtype: torch.dtype, device: torch.device) -> str | None:
    """Return the name of the numerics of weights of a dtype, None where there are none."""
    return NAMES.get(dtype)


def free_memory(device: torch.device) -> int:
    """Return the bytes of main memory that can be had."""
    return available_memory()
