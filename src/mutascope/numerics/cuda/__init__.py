"""The operations of a card, in Triton: they have the names and arguments of :mod:`mutascope.numerics.cpu`.

Tensors have the dtype of the network, float32 or bfloat16; sums are float32. Every element of a result depends on its
own row alone: not on the batch, nor on how many positions a pass has. The truths are not that of CPUs, and have names
(:mod:`mutascope.numerics.cuda.truth`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from mutascope.numerics.cuda.attention import attend, attend_alone, copy_rows, new_cache, put_rows
from mutascope.numerics.cuda.elementwise import activate, tanh
from mutascope.numerics.cuda.maps import fitting_rows, linear, pack, pack_pair, stack, strips
from mutascope.numerics.cuda.norms import norm, norm_heads
from mutascope.numerics.cuda.picks import pick
from mutascope.numerics.cuda.truth import truth_of
from mutascope.numerics.sizes import Sizes

__all__ = [
    "SIZES",
    "SYMMETRIC",
    "activate",
    "attend",
    "attend_alone",
    "copy_rows",
    "fitting_rows",
    "free_memory",
    "linear",
    "name_of",
    "new_cache",
    "norm",
    "norm_heads",
    "operand",
    "pack",
    "pack_pair",
    "pick",
    "put_rows",
    "stack",
    "strips",
    "tanh",
]

SIZES = Sizes(
    rows=4096,
    panel=4096,
    verified=1024,
    tokens=2048,
    states=2048,
    followers=32,
    decoded=0.7,
    checked=0.12,
    leaders=0.25,
)
"""What keeps a card busy."""
SYMMETRIC = False
"""Whether a product has the same bits when its factors are exchanged: float32 is multiplied in three unlike parts."""


def name_of(dtype: torch.dtype, device: torch.device) -> str | None:
    """Return the name of the numerics of weights of a dtype, None where there are none."""
    truth = truth_of(dtype, device)
    return truth.name if truth else None


def free_memory(device: torch.device) -> int:
    """Return the bytes of a card that can be had, those that torch holds without a use included."""
    if device.type != "cuda":
        return 2**30
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def operand(tensor: Tensor) -> Tensor:
    """Return a tensor, dense."""
    return tensor.detach().contiguous()
