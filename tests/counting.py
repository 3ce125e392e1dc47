"""Counts what torch is asked for."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

FREE = {
    *(
        "view",
        "_unsafe_view",
        "slice",
        "select",
        "split",
        "split_with_sizes",
        "unsqueeze",
        "expand",
        "unbind",
        "t",
    ),
    *("transpose", "permute", "alias", "detach", "as_strided", "empty", "new_empty", "empty_like"),
}
"""Operations of torch that ask nothing of a device."""


class Count(TorchDispatchMode):
    """Counts operations of torch, by name, but for those in :data:`FREE`."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name not in FREE:
            self.found[name] += 1
        return func(*args, **(kwargs or {}))
