"""The kernels of cards compile for Hopper, and what they share fits into a processor of one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="Triton is not installed")
SCRIPT = Path(__file__).parent / "compiling.py"
ROOM = 227 * 1024
"""Bytes of shared memory that a program may take."""


@pytest.mark.slow
def test_every_kernel_compiles_and_fits(tmp_path):
    """Without Triton's interpreter, in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, SCRIPT], env=environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr[-2000:]
    taken = [line.split() for line in done.stdout.splitlines()]
    assert {name for name, _ in taken} == {
        *("multiply", "_halves", "_norm", "_rotate", "_attend", "_gated", "_pick"),
    }
    assert max(int(size) for _, size in taken) <= ROOM
