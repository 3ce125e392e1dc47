"""The threads of a prediction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

THREADS = 4
"""However many cores there are: torch's products round by how their rows are dealt to threads."""


@contextmanager
def fixed_threads() -> Iterator[None]:
    """Give torch the same number of threads on every machine, so that predictions have the same bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
