"""Simulates the screen of Llama-2-7b on 1, 8, 64 and 512 GPUs, and writes its tables into docs/reference/clusters.md.

python -m benchmarks.simulate_cluster [--check]

Every worker takes units, runs and stores them. GPUs fail at random moments; what was not stored is run again by
whoever sees the lease expire, and the GPU is replaced. Nothing here is a measurement but seconds and number of the
mutants that an H100 runs together (benchmarks/results/gpu.json).
"""

from __future__ import annotations

import heapq
import json
import random
import statistics
import sys
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mutascope.core.words import duration
from mutascope.run.cards import CARDS, card_table

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "clusters.md"
MEASURED = json.loads((Path(__file__).parent / "results" / "gpu.json").read_text())
MUTANTS = 3_162_112
"""Of Llama-2-7b at tile 64, max and min."""
SEEDS = range(5)


@dataclass(frozen=True)
class Cluster:
    """A cluster, a store and a way to cut the screen.

    Attributes:
        gpus: workers.
        unit: mutants of a unit.
        failures: per GPU and hour.
        dtype: of the weights.
        spread: standard deviation of the logarithm of a unit's seconds.
        start: seconds to load the model.
        replaced: seconds until a failed GPU is back, or another one in its place.
        expiry: seconds after which others take over (mutascope.store.leases.EXPIRY).
        latency: seconds of a request of the store.
        requests: of a unit that is run (tests/run/test_requests.py counts them).
        price: dollars per GPU and hour.
    """

    gpus: int
    unit: int = 640
    failures: float = 0.05
    dtype: str = "bfloat16"
    spread: float = 0.1
    start: float = 60.0
    replaced: float = 300.0
    expiry: float = 60.0
    latency: float = 0.03
    requests: int = 20
    price: float = CARDS["H100"].dollars

    @property
    def seconds(self) -> float:
        """Of a mutant, measured."""
        return MEASURED[f"llama-2-7b {self.dtype} screen"]["ms_a_mutant"] / 1000

    @property
    def at_once(self) -> int:
        """Mutants that ran together in that measurement.

        A worker takes units for as many, but no more than its share of what nobody holds.
        """
        return MEASURED[f"llama-2-7b {self.dtype} screen"]["batch"]

    @property
    def units(self) -> int:
        return -(-MUTANTS // self.unit)

    @property
    def overhead(self) -> float:
        """Seconds that a unit takes besides its mutants."""
        return self.requests * self.latency


@dataclass(frozen=True)
class Run:
    """What came of it.

    Attributes:
        hours: until the last unit was stored.
        lost: GPU hours of work that failures undid.
        idle: GPU hours at the end, without a unit.
        failures: how many.
    """

    hours: float
    lost: float
    idle: float
    failures: int


def simulate(cluster: Cluster, seed: int) -> Run:
    """Run the screen once."""
    draw = random.Random(seed)
    fresh, returned = deque(range(cluster.units)), list[tuple[float, int]]()
    together = max(1, cluster.at_once // cluster.unit)
    ready = [(cluster.start, draw.random(), _failure(draw, 0.0, cluster), gpu) for gpu in range(cluster.gpus)]
    heapq.heapify(ready)
    end, lost, failures, free = 0.0, 0.0, 0, [0.0] * cluster.gpus
    while fresh or returned:
        now, _, fails, gpu = heapq.heappop(ready)  # at random among equal times
        if fails <= now:  # it failed while it was idle
            back = fails + cluster.replaced + cluster.start
            heapq.heappush(ready, (max(now, back), draw.random(), _failure(draw, back, cluster), gpu))
            continue
        if not fresh and returned[0][0] > now:  # nothing to take before a lease expires
            heapq.heappush(ready, (returned[0][0], draw.random(), fails, gpu))
            continue
        share = min(together, max(1, -(-len(fresh) // cluster.gpus)))
        units = _take(fresh, returned, now, share)
        work = sum(cluster.unit * cluster.seconds * draw.lognormvariate(0, cluster.spread) for _ in units)
        done = now + work + cluster.overhead * len(units)
        if done <= fails:
            end, free[gpu] = max(end, done), done
            heapq.heappush(ready, (done, draw.random(), fails, gpu))
            continue
        failures, lost = failures + 1, lost + fails - now
        for unit in units:
            heapq.heappush(returned, (fails + cluster.expiry, unit))
        back = fails + cluster.replaced + cluster.start
        heapq.heappush(ready, (back, draw.random(), _failure(draw, back, cluster), gpu))
    idle = sum(end - at for at in free if at)
    return Run(end / 3600, lost / 3600, idle / 3600, failures)


def _failure(draw: random.Random, now: float, cluster: Cluster) -> float:
    return now + draw.expovariate(cluster.failures / 3600) if cluster.failures else float("inf")


def _take(fresh: deque[int], returned: list[tuple[float, int]], now: float, count: int) -> list[int]:
    units = []
    while len(units) < count:
        if returned and returned[0][0] <= now:
            units.append(heapq.heappop(returned)[1])
        elif fresh:
            units.append(fresh.popleft())
        else:
            break
    return units


def size_table() -> str:
    """Hours and losses by number of GPUs, failures and unit size."""
    columns = ("dtype", "GPUs", "failures per GPU-hour", "mutants of a unit", "time", "GPU-hours", "dollars",
               "work lost", "idle at the end", "requests per second")  # fmt: skip
    clusters = [
        Cluster(gpus, unit, failures, dtype)
        for dtype, rates in (("bfloat16", (0.00002, 0.05)), ("float32", (0.05,)))
        for gpus in (1, 8, 64, 512)
        for failures in rates
        for unit in (160, 640, 2560)
    ]
    return "\n".join([_row(columns), _row(["---"] * len(columns)), *map(_line, clusters)])


def _line(cluster: Cluster) -> str:
    runs = [simulate(cluster, seed) for seed in SEEDS]
    hours = statistics.mean(run.hours for run in runs)
    whole = hours * cluster.gpus
    lost, idle = (statistics.mean(getattr(run, name) for run in runs) / whole for name in ("lost", "idle"))
    beats = cluster.gpus / 5
    requests = cluster.units * cluster.requests / (hours * 3600) + beats
    cells = (
        cluster.dtype,
        cluster.gpus,
        f"{cluster.failures:g}",
        f"{cluster.unit:,}",
        duration(3600 * hours),
        f"{whole:,.1f}",
        f"{whole * cluster.price:,.0f}",
        f"{100 * lost:.2f} %",
        f"{100 * idle:.1f} %",
        f"{requests:.1f}",
    )
    return _row(map(str, cells))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


TABLES = {"cards": card_table, "simulated clusters": size_table}


def written(page: str) -> str:
    """Return the page with its tables as they are now."""
    for name, table in TABLES.items():
        start, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
        before, rest = page.split(start)
        page = f"{before}{start}\n{table()}\n{end}{rest.split(end)[1]}"
    return page


def main() -> None:
    page = PAGE.read_text()
    fresh = written(page)
    if "--check" in sys.argv:
        sys.exit(fresh != page and "docs/reference/clusters.md is not what the simulation says")
    PAGE.write_text(fresh)


if __name__ == "__main__":
    main()
