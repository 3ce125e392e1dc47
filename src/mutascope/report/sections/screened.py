"""What was screened and how: every resolved setting of the manifests, prompts, and the wild types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mutascope.core.manifest import Manifest
from mutascope.report.blocks import Block, Heading, Quote, Settings
from mutascope.report.source import Source

_ELSEWHERE = frozenset({"loci", "prompts", "wild_type", "controls"})
"""Keys of a manifest that are shown in another form."""
_SAMPLING = ("do_sample", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "num_beams")
_LENGTHS = ("max_length", "max_new_tokens", "eos_token_id")
_PROMPTS = 3


def blocks(source: Source) -> Iterator[Block]:
    """Yield the settings side by side, then the prompts and what the wild type answers."""
    manifests = {label: results.manifest for label, results in source.given.results.items()}
    flat = {
        label: {
            "folder": source.given.results[label].folder.path,
            **_settings(manifest),
            "loci": _loci(manifest),
        }
        for label, manifest in manifests.items()
    }
    names = dict.fromkeys(name for settings in flat.values() for name in settings)
    rows = [(name, [settings.get(name, "not stated") for settings in flat.values()]) for name in names]
    yield Settings(
        list(flat), [(name, values[:1] if len(set(values)) == 1 else values) for name, values in rows]
    )
    for label, manifest in manifests.items():
        yield Heading(f"Wild type of {label}")
        outputs = manifest.wild_type
        for number, output in enumerate(outputs[:_PROMPTS]):
            prompt = manifest.prompts[number].text if number < len(manifest.prompts) else "prompt not stated"
            yield Quote(prompt, output.continuation)
        if len(outputs) > _PROMPTS:
            yield Quote(f"and {len(outputs) - _PROMPTS} prompts more", "")


def _settings(manifest: Manifest) -> dict[str, str]:
    """Everything that was resolved; the fields of the generation config that hardly anybody sets share a line."""
    flat = _flat({key: value for key, value in manifest.to_dict().items() if key not in _ELSEWHERE})
    known = {f"generation.{name}" for name in (*_SAMPLING, *_LENGTHS)}
    rest = {
        name: value for name, value in flat.items() if name.startswith("generation.") and name not in known
    }
    shown = {name: value for name, value in flat.items() if name not in rest}
    told = ", ".join(f"{name.removeprefix('generation.')} {value}" for name, value in rest.items())
    return {**shown, "generation, other fields": told} if rest else shown


def _flat(value: dict[str, Any], path: str = "") -> dict[str, str]:
    """Settings by dotted name."""
    found: dict[str, str] = {}
    for key, part in value.items():
        name = f"{path}.{key}" if path else key
        if isinstance(part, dict):
            found |= _flat(part, name)
        else:
            found[name] = ", ".join(map(str, part)) if isinstance(part, list) else str(part)
    return found


def _loci(manifest: Manifest) -> str:
    loci = manifest.loci
    kinds = dict.fromkeys(locus.kind for locus in loci)
    layers = sorted({locus.layer for locus in loci})
    sites = sum(locus.sampled_sites for locus in loci)
    span = (
        f"layer {layers[0]}" if len(layers) == 1 else f"{len(layers)} layers from {layers[0]} to {layers[-1]}"
    )
    return f"{len(loci):,} loci ({' '.join(kinds)}; {span}), {sites:,} sites"
