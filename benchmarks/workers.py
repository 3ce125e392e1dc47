"""What a second worker brings on one machine, and what an executor costs per unit.

    python -m benchmarks.workers [--sites 96 384] [--units 50 400] [--json benchmarks/results/workers.json]

Two numbers of mutants, and of units, part what is paid once (processes, loading the model) from what each one takes.
Units that take no time show what leases, files and the executor cost.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import polars as pl

from mutascope import Design, Screen
from mutascope.core.cores import available_cores
from mutascope.core.schema import PHENOTYPE_SCHEMA, RECORD_SCHEMA
from mutascope.run.description import processor
from mutascope.run.executors.choice import choose_executor
from mutascope.run.progress import ScreenProgress
from mutascope.run.spec import ScreenSpec
from mutascope.run.work import Executor
from mutascope.store import ScreenFolder, Shard
from mutascope.store.leases import Leases

WAYS: dict[str, Callable[[], Executor]] = {
    "one process": choose_executor,
    "two workers": lambda: choose_executor(workers=2),
    "Ray, one actor": lambda: choose_executor("ray", 1),
    "Ray, two actors": lambda: choose_executor("ray", 2),
}
SHARD = Shard(pl.DataFrame(schema=RECORD_SCHEMA), pl.DataFrame(schema=PHENOTYPE_SCHEMA))


class Idle:
    """Units that take no time: a lease and files of each."""

    spec = ScreenSpec()

    def __init__(self, folder: str) -> None:
        self.folder = ScreenFolder(folder)

    def stored(self) -> set[str]:
        return self.folder.finished_units()

    def progress(self, names: Sequence[str], *, quiet: bool = False, here: bool = False) -> ScreenProgress:
        return ScreenProgress(len(names), quiet=True)

    def count(self, names: Collection[str], progress: Callable[[int], None]) -> None:
        for _ in names:
            progress(1)

    def run_units(
        self,
        names: Sequence[str],
        progress: Callable[[int], None] | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> int:
        with Leases(self.folder.files) as leases:
            for name in names:
                if leases.take(name):
                    if not self.folder.is_finished(name):
                        self.folder.write_unit(name, SHARD)
                    leases.release(name)
        return len(names)

    def unload(self) -> None:
        """There is nothing."""


def idle(executor: Executor, count: int, out: str) -> float:
    """Seconds of so many units that take no time."""
    names = [f"{number:06d}" for number in range(count)]
    start = time.perf_counter()
    executor(Idle(out), names, quiet=True)
    return time.perf_counter() - start


def screened(executor: Executor, sites: int, out: str) -> float:
    """Seconds of the units of a screen of so many sites; the folder is begun before."""
    screen = Screen("smollm2-135m", "drosophila", Design(sample=sites), tile=8, device="cpu")
    screen.open(out).prepare()
    screen.unload()
    names = screen.pending()
    start = time.perf_counter()
    executor(screen, names, quiet=True)
    return time.perf_counter() - start


def line(
    name: str, measure: Callable[[Executor, int, str], float], counts: Sequence[int], each: int
) -> dict[str, object]:
    """What is paid once, and by each of what is counted, in seconds."""
    executor, seconds = WAYS[name](), []
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            seconds.append(measure(executor, count, os.path.join(folder, "out")))
    slope = (seconds[1] - seconds[0]) / (counts[1] - counts[0])
    found = {
        "way": name,
        "seconds": [round(value, 2) for value in seconds],
        "each": round(slope / each, 5),
        "once": round(seconds[0] - slope * counts[0], 2),
    }
    print(found, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sites", type=int, nargs=2, default=(96, 384))
    parser.add_argument("--units", type=int, nargs=2, default=(50, 400))
    parser.add_argument("--ways", nargs="*", default=list(WAYS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = {
        "processor": processor(),
        "cores": available_cores(),
        "mutants": [2 * sites for sites in options.sites],
        "screen": [line(name, screened, options.sites, 2) for name in options.ways],
        "units": options.units,
        "idle": [line(name, idle, options.units, 1) for name in options.ways],
    }
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
