"""The manifest of a screen: what it is, and whether another screen is the same one."""

from __future__ import annotations

import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mutascope.core.design import Design, Plan
from mutascope.core.errors import MutascopeError
from mutascope.core.genome import Locus, Tiling
from mutascope.store import FORMAT_VERSION

if TYPE_CHECKING:
    from mutascope.assays import Resolved
    from mutascope.assays.phenotype import PhenotypeReader
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


def check_same_screen(manifest: dict[str, Any], description: dict[str, Any], folder: str) -> None:
    """Raise MutascopeError, with the differences, when a manifest is not of the screen described."""
    stored: dict[str, Any] = {
        "measure": False,
        **{key: manifest[key] for key in description if key in manifest},
    }
    if (
        stored["model"]["fingerprint"] == description["model"]["fingerprint"]
    ):  # wherever the weights are kept now
        stored["model"] = {**stored["model"], "name": description["model"]["name"]}
    if (
        stored["prompts"] == description["prompts"] and "questions" in stored["assay"]
    ):  # as well as the questions
        stored["assay"] = {**stored["assay"], "questions": description["assay"].get("questions")}
    differences = _differences(stored, description)
    if differences:
        more = f"; and {len(differences) - 4} more" if len(differences) > 4 else ""
        raise MutascopeError(f"{folder} holds another screen: {'; '.join(differences[:4])}{more}")


def check_same_numerics(manifest: dict[str, Any], numerics: dict[str, str], folder: str) -> None:
    """Raise MutascopeError when a folder's records are of another arithmetic than what would be added."""
    stored = manifest.get("numerics")
    if stored is None:
        raise MutascopeError(
            f"{folder} was made by an earlier version, whose records depend on the machine: it can be read, but neither"
            " continued nor checked; screen into another --out"
        )
    if stored != numerics:
        raise MutascopeError(
            f"{folder} was made with the numerics {_named(stored)}, and here they are {_named(numerics)}: their records"
            " do not mix; screen into another --out"
        )


def _named(numerics: dict[str, str]) -> str:
    operations, sampling = numerics["operations"], numerics["sampling"]
    return operations if sampling == operations else f"{operations} (sampling: {sampling})"


def new_manifest(
    description: dict[str, Any],
    numerics: dict[str, str],
    plan: Plan,
    tiling: Tiling,
    reader: PhenotypeReader,
    unit_size: int,
) -> dict[str, Any]:
    """Return the manifest of a screen that starts now (docs/format.md, Manifest)."""
    wild_type = []
    for index, output in enumerate(reader.wild_type):
        phenotype, text, continuation = reader.phenotype(output, index)
        row = {
            "phenotype": phenotype,
            "text": text,
            "continuation": continuation,
            "tokens": list(output.tokens),
        }
        wild_type.append(row)
    return {
        "format_version": FORMAT_VERSION,
        **description,
        "numerics": numerics,
        "loci": describe_loci(plan, tiling),
        "units": {"mutants": len(plan), "size": unit_size},
        "wild_type": wild_type,
        "libraries": {name: version(name) for name in _LIBRARIES},
        "platform": {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "processor": processor(),
            "device": str(reader.model.network.device),
        },
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def processor() -> str:
    """Return the name of the processor, as the system has it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def describe_loci(plan: Plan, tiling: Tiling) -> list[dict[str, Any]]:
    """Return the loci of a design as plain JSON values (docs/format.md, 4.4)."""
    return [_describe_locus(locus, plan, tiling) for locus in plan.loci]


def _describe_locus(locus: Locus, plan: Plan, tiling: Tiling) -> dict[str, Any]:
    site_rows, site_cols = tiling.grid(locus)
    return {
        "layer": locus.layer,
        "kind": locus.kind,
        "rows": locus.rows,
        "cols": locus.cols,
        "site_rows": site_rows,
        "site_cols": site_cols,
        "region_sites": plan.population.get(locus.name),
        "sampled_sites": plan.sampled[locus.name],
    }


def _differences(stored: Any, wanted: Any, path: str = "") -> list[str]:
    """Return in words where two JSON values differ."""
    if isinstance(stored, dict) and isinstance(wanted, dict):
        keys = [*stored, *(key for key in wanted if key not in stored)]
        return [
            line
            for key in keys
            for line in _differences(stored.get(key), wanted.get(key), f"{path}.{key}" if path else key)
        ]
    return [] if stored == wanted else [f"{path} is {_short(stored)} there and {_short(wanted)} here"]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
