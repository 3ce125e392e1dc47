"""What a manifest says of a screen that starts now."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mutascope.assays import Resolved
from mutascope.assays.assay import decode
from mutascope.assays.phenotype import PhenotypeReader
from mutascope.core.design import Design, Plan
from mutascope.core.genome import Tiling
from mutascope.core.manifest import (
    Manifest,
    Numerics,
    Platform,
    UnitsInfo,
    WildOutput,
    describe_loci,
    describe_uncovered,
)
from mutascope.core.protocol import Output
from mutascope.core.schema import FORMAT_VERSION
from mutascope.model.loading import Model

_LIBRARIES = ("mutascope", "torch", "transformers", "tokenizers", "numpy")


def describe_screen(
    model: Model, assay: Resolved, design: Design, plan: Plan, tiling: Tiling, engine: str
) -> dict[str, Any]:
    """Return what makes a screen the same as another one, as plain JSON values."""
    return {
        "model": model.description,
        **assay.described(),
        "design": {**design.described(), "mutations": list(plan.mutations), "sha256": plan.digest},
        "tile": tiling.tile,
        "engine": engine,
        "measure": assay.readout.measure,
    }


def new_manifest(
    description: dict[str, Any],
    numerics: Numerics,
    plan: Plan,
    tiling: Tiling,
    reader: PhenotypeReader,
    unit_size: int,
    further: Sequence[Output] = (),
) -> Manifest:
    """Return the manifest of a screen that starts now (docs/format.md, Manifest).

    Args:
        description: of :func:`describe_screen`.
        numerics: whose arithmetic the records have.
        plan: the mutants.
        tiling: of the screen.
        reader: of the assay.
        unit_size: mutants per unit.
        further: outputs of the wild type with the assay's further seeds.
    """
    device = str(reader.model.network.device)
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        **description,
        outputs=reader.assay.keeps_outputs,
        numerics=numerics,
        loci=describe_loci(plan, tiling),
        layer_weights=reader.model.genome.layer_weights,
        uncovered=describe_uncovered(reader.model.genome),
        units=UnitsInfo(mutants=len(plan), size=unit_size),
        wild_type=[_wild_output(reader, output, index) for index, output in enumerate(reader.wild_type)],
        libraries={name: version(name) for name in _LIBRARIES},
        platform=Platform(
            python=platform.python_version(),
            machine=platform.machine(),
            processor=processor(),
            device=device,
        ),
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
    if further:
        manifest.further_wild_types = [_wild_output(reader, output) for output in further]
        for output, seed in zip(manifest.further_wild_types, reader.assay.assay.further, strict=True):
            output.seed = seed
    return manifest


def _wild_output(reader: PhenotypeReader, output: Output, prompt: int = 0) -> WildOutput:
    phenotype, text, continuation = reader.phenotype(output, prompt)
    assert text is not None, "a wild type is finite"
    assert continuation is not None
    tokens = list(output.tokens)
    row = WildOutput(phenotype=phenotype, text=text, continuation=continuation, tokens=tokens)
    if reader.assay.assay.type == "text":
        row.pieces = [decode(reader.model, [token]) for token in output.tokens]
        if output.margins:
            row.margins = list(output.margins)
    return row


def processor() -> str:
    """Return the name of the processor, as the system has it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
