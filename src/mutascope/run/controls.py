"""Controls at the end of a screen: no-op mutants, and a random sample of calls replayed on the reference engine."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from mutascope.assays.phenotype import PhenotypeReader
from mutascope.core.design import Plan
from mutascope.core.genome import Mutant, Tiling
from mutascope.core.protocol import Generation, Outcome, Session, first_divergence
from mutascope.core.schema import MUTANT_KEY
from mutascope.engine.reference import ReferenceEngine

REPLAY_RATE = 1e-3
"""Share of calls that is replayed, at least ``REPLAY_LEAST`` of them."""
REPLAY_LEAST = 3
NOOPS = 8
_COMPARED = ("silent", "first_divergence", "phenotype")


def run_controls(
    session: Session,
    reader: PhenotypeReader,
    plan: Plan,
    tiling: Tiling,
    records: pl.DataFrame,
    outputs: pl.DataFrame | None = None,
) -> dict[str, Any]:
    """Return what the manifest says of the calls of an engine that is not the reference itself.

    The samples are drawn with a seed that the design determines, so that a repeated run replays the same calls.

    Args:
        session: that ran the screen.
        reader: of the assay.
        plan: of the screen.
        tiling: of the screen.
        records: of all mutants.
        outputs: of all mutants, for an assay that keeps them: then single outputs are replayed, not whole mutants.
    """
    random = np.random.default_rng(int(plan.digest[:12], 16))
    calls = records if outputs is None or outputs.is_empty() else outputs
    size = min(len(calls), max(REPLAY_LEAST, math.ceil(REPLAY_RATE * len(calls))))
    chosen = calls[np.sort(random.choice(len(calls), size, replace=False))]
    several = len(reader.assay.prompts)
    least = min(NOOPS, len(plan), max(2, NOOPS // several))
    sites = random.choice(len(plan), least, replace=False)
    noops = list(dict.fromkeys(replace(plan.mutants(at, at + 1)[0], mutation="noop") for at in sorted(sites)))
    loud = [str(outcome.mutant) for outcome in _run(session, noops) if not reader.is_silent(outcome)]
    return {
        "replayed": size,
        "replay_mismatches": mismatches(ReferenceEngine(reader.model, tiling), reader, chosen),
        "noops": len(noops),
        "noops_not_silent": loud,
    }


def mismatches(reference: ReferenceEngine, reader: PhenotypeReader, chosen: pl.DataFrame) -> list[str]:
    """Return the calls that the reference engine, run in full, does not reproduce.

    Args:
        reference: of the screen's numerics.
        reader: of the assay.
        chosen: records, or outputs of an assay of several prompts.

    Returns:
        Mutants by name, with the prompt of several.
    """
    readout = reader.assay.readout
    if isinstance(readout, Generation):
        readout = replace(readout, measure=False, further=())  # what is measured is not compared
    if "prompt" not in chosen.columns:
        session = reference.prepare(reader.assay.prompts, readout)
        again = reader.shard(_run(session, _mutants(chosen))).records
        columns = [pl.col(name).name.suffix("_again") for name in _COMPARED]
        both = pl.concat([chosen, again.select(columns)], how="horizontal")
        same = [pl.col(name).eq_missing(pl.col(f"{name}_again")) for name in _COMPARED]
        return [str(mutant) for mutant in _mutants(both.filter(~pl.all_horizontal(same)))]
    found = []
    for row, mutant in zip(chosen.iter_rows(named=True), _mutants(chosen), strict=True):
        index = row["prompt"]
        (outcome,) = reference.prepare([reader.assay.prompts[index]], readout).run([mutant])
        (output,), wild = outcome.outputs, reader.wild_type[index]
        again = (first_divergence(wild, output), reader.phenotype(output, index)[0])
        if again != (row["first_divergence"], row["phenotype"]):
            found.append(f"{mutant} (prompt {index})")
    return found


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
    return [Mutant(*row) for row in records.select(MUTANT_KEY).iter_rows()]


def _run(session: Session, mutants: list[Mutant]) -> list[Outcome]:
    """Return the outcomes in the order of ``mutants``."""
    found = {outcome.mutant: outcome for outcome in session.run(mutants)}
    return [found[mutant] for mutant in mutants]
