"""Controls at the end of a screen: no-op mutants, and a random sample of calls replayed on the reference engine."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from mutascope.design import MUTANT_COLUMNS, Plan
from mutascope.engine.reference import ReferenceEngine
from mutascope.genome import Mutant, Tiling
from mutascope.phenotypes import PhenotypeReader
from mutascope.readout import Engine, Outcome

REPLAY_RATE = 1e-3
"""Share of calls that is replayed, at least ``REPLAY_LEAST`` of them."""
REPLAY_LEAST = 3
NOOPS = 8
_COMPARED = ("silent", "first_divergence", "phenotype")


def run_controls(
    engine: Engine, reader: PhenotypeReader, plan: Plan, tiling: Tiling, records: pl.DataFrame
) -> dict[str, Any]:
    """Return what the manifest says of the calls of an engine that is not the reference itself.

    The sample is drawn with a seed that the design determines, so that a repeated run replays the same calls.
    """
    random = np.random.default_rng(int(plan.digest[:12], 16))
    size = min(len(records), max(REPLAY_LEAST, math.ceil(REPLAY_RATE * len(records))))
    chosen = records[np.sort(random.choice(len(records), size, replace=False))]
    reference = ReferenceEngine(reader.model, tiling)
    again = reader.shard(_run(reference, reader, _mutants(chosen))).records
    same = (
        pl.concat(
            [chosen.select(_COMPARED), again.select(pl.col(_COMPARED).name.suffix("_again"))],
            how="horizontal",
        )
        .select(pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"{name}_again")) for name in _COMPARED))
        .to_series()
    )
    sites = random.choice(len(plan), min(NOOPS, len(plan)), replace=False)
    noops = list(dict.fromkeys(replace(plan.mutants(at, at + 1)[0], mutation="noop") for at in sorted(sites)))
    loud = [str(outcome.mutant) for outcome in _run(engine, reader, noops) if not reader.is_silent(outcome)]
    return {
        "replayed": size,
        "replay_mismatches": [str(mutant) for mutant in _mutants(chosen.filter(~same))],
        "noops": len(noops),
        "noops_not_silent": loud,
        "near_ties_settled": int(records["replayed"].sum()),
    }


def warning(controls: dict[str, Any]) -> str | None:
    """Return the sentence that a failed control deserves, None when all passed."""
    failed = [*controls.get("replay_mismatches", []), *controls.get("noops_not_silent", [])]
    if not failed:
        return None
    return (
        f"WARNING: {len(failed)} controls failed, this engine does not agree with the reference engine on"
        f" {', '.join(failed)}: do not trust these records, screen again with --engine reference and report it"
    )


def _mutants(records: pl.DataFrame) -> list[Mutant]:
    return [Mutant(*row) for row in records.select(MUTANT_COLUMNS).iter_rows()]


def _run(engine: Engine, reader: PhenotypeReader, mutants: list[Mutant]) -> list[Outcome]:
    """Return the outcomes in the order of ``mutants``."""
    found = {o.mutant: o for o in engine.run(reader.assay.prompts, reader.assay.readout, mutants)}
    return [found[mutant] for mutant in mutants]
