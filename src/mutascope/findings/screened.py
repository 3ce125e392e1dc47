"""What was screened, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from mutascope.core.words import counted
from mutascope.findings.blocks import Block, Heading, Quote, Settings
from mutascope.findings.columns import columns
from mutascope.findings.finding import Finding, Section
from mutascope.findings.screens import ScreenSet, once
from mutascope.store.reader import ScreenData

_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "num_beams")
_PROMPTS = 3


@once
def screens(given: ScreenSet) -> pl.DataFrame:
    """Return what was screened and how."""
    rows = []
    for label, results in given.results.items():
        manifest = results.manifest
        rows.append(
            {
                "assay": label,
                "folder": results.folder.path,
                "model": given.model_names[label],
                "fingerprint": manifest.model.fingerprint,
                "tile": manifest.tile,
                "design": manifest.design.type,
                "mutations": " ".join(manifest.design.mutations),
                "engine": manifest.engine,
                "stored": len(given.records[label]),
                "planned": results.total,
                "finished": results.finished,
                "wild_type": "\n".join(output.text for output in manifest.wild_type),
            }
        )
    return pl.DataFrame(rows)


def _blocks(given: ScreenSet) -> Iterator[Block]:
    """Yield the settings side by side, then the prompts and what the wild type answers."""
    told = {label: _settings(given, label) for label in given.labels}
    names = dict.fromkeys(name for settings in told.values() for name in settings)
    rows = [(name, [settings.get(name, "not stated") for settings in told.values()]) for name in names]
    yield Settings(
        given.labels, [(name, values[:1] if len(set(values)) == 1 else values) for name, values in rows]
    )
    for label, results in given.results.items():
        yield Heading(f"Wild type of {label}")
        prompts, outputs = results.manifest.prompts, results.manifest.wild_type
        for number, output in enumerate(outputs[:_PROMPTS]):
            prompt = prompts[number].text if number < len(prompts) else "prompt not stated"
            yield Quote(prompt, output.continuation)
        if len(outputs) > _PROMPTS:
            yield Quote(f"and {counted(len(outputs) - _PROMPTS, 'prompt')} more", "")


def _settings(given: ScreenSet, label: str) -> dict[str, str]:
    """The settings that readers ask for, in plain words; all others are in the manifest."""
    results = given.results[label]
    manifest = results.manifest
    libraries = manifest.libraries
    return {
        "model": f"{manifest.model.told} ({manifest.model.fingerprint[:12]})",
        "weights": manifest.model.dtype,
        "assay": manifest.assay.name,
        "tokens": _sampling(manifest.generation),
        "mutations": ", ".join(manifest.design.mutations),
        "tile": f"{manifest.tile} x {manifest.tile} elements",
        "loci": _loci(results),
        "share screened": manifest.coverage or "not stated",
        "design": manifest.design.type,
        "mutants": f"{len(given.records[label]):,} of {results.total:,}",
        "engine": manifest.engine,
        "numerics": str(manifest.numerics or "not stated"),
        "made with": ", ".join(f"{name} {number}" for name, number in libraries.items()) or "not stated",
        "folder": results.folder.path,
    }


def _sampling(generation: Mapping[str, Any]) -> str:
    if not generation.get("do_sample"):
        return "the most likely one each time"
    stated = [f"{name.replace('_', ' ')} {generation[name]}" for name in _SAMPLING if generation.get(name)]
    return ", ".join(["sampled", *stated])


def _loci(results: ScreenData) -> str:
    layers = results.loci["layer"].unique().sort().to_list()
    kinds = " ".join(results.loci["kind"].unique(maintain_order=True))
    span = (
        f"layer {layers[0]}" if len(layers) == 1 else f"{len(layers)} layers from {layers[0]} to {layers[-1]}"
    )
    sites = int(results.loci["sampled_sites"].sum())
    return f"{counted(len(results.loci), 'locus', 'loci')} ({kinds}; {span}), {counted(sites, 'site')}"


FINDINGS = (
    Finding(
        "screens",
        "The screens that were analysed: one row each.",
        screens,
        columns(
            folder="screen folder",
            fingerprint="identifies the weights",
            tile="side of a tile, in elements",
            design="full, region, sample or list (docs/format.md, 4.3)",
            mutations="mutations of the design",
            engine="engine that was asked for",
            stored="mutants stored",
            planned="mutants of the design",
            finished="whether every mutant is stored, with the controls after the last",
            wild_type="text of the wild type; of several prompts, one below the other",
        ),
        section=Section("screened", "What was screened, and how", _blocks),
    ),
)
