"""Where tests of the Triton kernels run: on the card, or in Triton's interpreter where there is none (conftest.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

HAS_CARD = torch.cuda.is_available()
DEVICE = torch.device("cuda" if HAS_CARD else "cpu")
pytest.importorskip("triton", reason="Triton is not installed")


def _dot(self: Any, a: Any, b: Any, d: Any, input_precision: Any, max_num_imprecise_acc: Any) -> Any:
    """Multiply blocks as a card does: an element is the same wherever in the block it stands, which numpy's matmul does
    not promise.
    """
    from triton.runtime.interpreter import TensorHandle  # pyright: ignore

    products = a.data[:, :, None] * b.data[None]
    return TensorHandle(np.add.reduce(products, axis=1) + d.data, d.dtype.scalar)


def _compiled_for(launcher: Any, arguments: tuple[Any, ...]) -> list[Any]:
    """What Triton would compile a kernel anew for."""
    kernel, found = launcher.kernel, []
    plain = set(kernel.kwargs.get("do_not_specialize") or ())
    anywhere = set(kernel.kwargs.get("do_not_specialize_on_alignment") or ())
    for name, each in zip(kernel.arg_names, arguments, strict=False):
        if isinstance(each, torch.Tensor):
            found.append((each.dtype, name in anywhere or each.data_ptr() % 16 == 0))
        elif isinstance(each, int):
            found.append((each >= 2**31, name not in plain and (each == 1, each % 16 == 0)))
        else:
            found.append(each.block_shape if hasattr(each, "block_shape") else type(each))
    return found


def _run_as_said(launcher: Any, grid: Any, kinds: Any, *arguments: Any) -> None:
    """Run a kernel; its arguments are of the kind that the same words stood for before, as one is compiled for all."""
    known = launcher.__dict__.setdefault("kinds", {})
    own = _compiled_for(launcher, arguments)
    assert known.setdefault(kinds, own) == own, (launcher.kernel.__name__, kinds)
    _run(launcher, grid, kinds, *arguments)


if not HAS_CARD:
    from triton.runtime.interpreter import InterpreterBuilder  # pyright: ignore

    from mutascope.numerics.cuda.launch import Launcher

    InterpreterBuilder.create_dot = _dot
    _run, Launcher.__call__ = Launcher.__call__, _run_as_said  # pyright: ignore
