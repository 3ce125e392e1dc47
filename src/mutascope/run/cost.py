"""What a screen costs: arithmetic of a mutant, and a quick measurement of the machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Machine:
    """Measured float32 rates: matrix product (GFLOP/s) and reading weights in a matrix-vector product (GB/s)."""

    gflops: float
    gbytes: float


@dataclass(frozen=True)
class ScreenCost:
    """Parameters of the model, mutants of the screen, tokens that each generates."""

    parameters: int
    mutants: int
    tokens: int

    @property
    def flop_per_mutant(self) -> float:
        """Floating-point operations of one mutant generated from scratch: 2 per parameter and token."""
        return 2.0 * self.parameters * self.tokens

    def arithmetic_seconds(self, machine: Machine) -> float:
        """Seconds of the whole screen if the arithmetic ran at the matrix product rate."""
        return self.mutants * self.flop_per_mutant / (machine.gflops * 1e9)

    def reference_seconds(self, machine: Machine) -> float:
        """Lower bound in seconds of the reference engine, which reads all float32 weights for every token."""
        return self.mutants * self.tokens * 4.0 * self.parameters / (machine.gbytes * 1e9)


def measure_machine(size: int = 1536, weights: int = 4096) -> Machine:
    """Measure the machine in about a second: a ``size``^3 matrix product, a ``weights``^2 matrix-vector product."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    square, wide = torch.randn(size, size, device=device), torch.randn(weights, weights, device=device)
    column = torch.randn(weights, device=device)
    gflops = 2 * size**3 / _seconds(lambda: square @ square) / 1e9
    return Machine(gflops, 4 * weights**2 / _seconds(lambda: wide @ column) / 1e9)


def _seconds(work: Callable[[], object], repeats: int = 5) -> float:
    times = []
    for _ in range(repeats):
        _synchronise()
        start = time.perf_counter()
        work()
        _synchronise()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
