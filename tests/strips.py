"""Strips of some rows of one map."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch


def strips_of(
    operations: Any, members: Iterable[tuple[int, int, Any]], device: torch.device | str = "cpu"
) -> Any:
    """The strips of members: row of the batch, first output feature, and the edited weights, which must outlive
    them.
    """
    table = [(row, *entry) for row, top, packed in members for entry in packed.entries(top)]
    (strips,) = operations.strips(np.array(table, dtype=np.int64), [len(table)], torch.device(device))
    return strips
