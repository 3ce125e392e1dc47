"""Whether two screens are the same one, and whether their records mix (docs/format.md, 4.1 and 4.9)."""

from __future__ import annotations

from typing import Any

from mutascope.core.errors import MutascopeError
from mutascope.core.manifest import Manifest, Numerics


def check_same_screen(manifest: Manifest, description: dict[str, Any], folder: str) -> None:
    """Raise MutascopeError, with the differences, when a manifest is not of the screen described."""
    known = manifest.to_dict()
    stored = {"measure": False, **{key: known[key] for key in description if key in known}}
    if manifest.model.fingerprint == description["model"]["fingerprint"]:  # wherever the weights are kept now
        stored["model"] = {**stored["model"], "name": description["model"]["name"]}
    if (
        stored["prompts"] == description["prompts"] and "questions" in stored["assay"]
    ):  # wherever they are from
        stored["assay"] = {**stored["assay"], "questions": description["assay"].get("questions")}
    differences = _differences(stored, description)
    differences.sort(key=lambda told: told.startswith("design.sha256 "))  # what it hashes says more
    if differences:
        more = f"; and {len(differences) - 4} more" if len(differences) > 4 else ""
        raise MutascopeError(f"{folder} holds another screen: {'; '.join(differences[:4])}{more}")


def check_same_numerics(manifest: Manifest, numerics: Numerics, folder: str) -> None:
    """Raise MutascopeError when a folder's records are of another arithmetic than what would be added."""
    if manifest.numerics is None:
        raise MutascopeError(
            f"{folder} was made by an earlier version, whose records depend on the machine: it can be read, but neither"
            " continued nor checked; screen into another --out"
        )
    if manifest.numerics != numerics:
        raise MutascopeError(
            f"{folder} was made with the numerics {manifest.numerics}, and here they are {numerics}: their records"
            " do not mix; screen into another --out"
        )


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
