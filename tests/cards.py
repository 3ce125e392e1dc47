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


if not HAS_CARD:
    from triton.runtime.interpreter import InterpreterBuilder  # pyright: ignore

    InterpreterBuilder.create_dot = _dot
