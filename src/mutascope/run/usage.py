"""What a process uses."""

from __future__ import annotations

import resource
import sys

import torch

from mutascope.store.leases import Usage


def peak_usage() -> Usage:
    """Return the most memory that this process has had, and that of the card that it has used most."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    memory = peak if sys.platform == "darwin" else 1024 * peak
    if not torch.cuda.is_initialized():
        return Usage(memory)
    used, card = max((torch.cuda.max_memory_reserved(at), at) for at in range(torch.cuda.device_count()))
    return Usage(memory, used, torch.cuda.get_device_name(card) if used else "")
