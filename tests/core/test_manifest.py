"""Manifests: what is read comes out again, of every version; what is damaged is told in one sentence."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from mutascope import MutascopeError
from mutascope.core.manifest import Controls, Manifest

ARCHIVES = Path(__file__).resolve().parents[1] / "data" / "archives"
STORED = sorted(ARCHIVES.glob("*/*/manifest.json"))
KEYS = ("model", "assay", "generation", "prompts", "design", "tile", "engine", "loci", "units", "wild_type")
NESTED = ("model.fingerprint", "design.mutations", "units.size", "loci.0.region_sites", "wild_type.0.tokens")


@pytest.fixture
def stored() -> dict[str, Any]:
    return json.loads((ARCHIVES / "format2" / "text" / "manifest.json").read_text())


def parsed(manifest: dict[str, Any]) -> Manifest:
    return Manifest.parse(json.dumps(manifest), "s")


def without(manifest: dict[str, Any], path: str) -> dict[str, Any]:
    changed: Any = copy.deepcopy(manifest)
    *parents, last = path.split(".")
    home = changed
    for key in parents:
        home = home[int(key) if key.isdecimal() else key]
    del home[last]
    return changed


@pytest.mark.parametrize("path", STORED, ids=lambda path: "/".join(path.parts[-3:-1]))
def test_what_was_read_is_written_again(path):
    content = path.read_text()
    again = json.loads(Manifest.parse(content, "s").to_json())
    kind = again["assay"]["type"]
    assert kind == path.parent.name.replace("unfinished", "text")
    before = json.loads(content)
    assert again == {**before, "assay": {**before["assay"], "type": kind}}


def test_unknown_keys_are_kept_at_every_level(stored):
    stored["later"] = {"a": [1, None]}
    stored["assay"]["type"] = "text"
    stored["model"]["later"] = stored["loci"][0]["later"] = stored["wild_type"][0]["later"] = None
    assert json.loads(parsed(stored).to_json()) == stored


@pytest.mark.parametrize(
    "changes, kind",
    [
        ({"letters": ["A", "B"]}, "choice"),
        ({"prompts": []}, "choice"),
        ({"prompts": [{"text": "a", "tokens": []}] * 2}, "panel"),
        ({"assay": {"name": "p", "prompts": "p.txt"}}, "panel"),
        ({"assay": {"name": "p", "type": "panel"}, "letters": ["A"]}, "panel"),
        ({}, "text"),
    ],
)
def test_the_type_of_an_assay_is_read_or_inferred(stored, changes, kind):
    assert parsed({**stored, **changes}).assay.type == kind


@pytest.mark.parametrize("path", [*KEYS, *NESTED])
def test_a_manifest_that_lacks_a_key_is_damaged(stored, path):
    with pytest.raises(MutascopeError, match=f"^s/manifest.json is damaged: it has no '{path}'$"):
        parsed(without(stored, path))


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"tile": "wide"}, "'tile'"),
        ({"tile": None}, "'tile'"),
        ({"model": []}, "'model'"),
        ({"assay": "say"}, "'assay'"),
        ({"assay": {"name": "say", "type": 3}}, "'assay.type'"),
        ({"prompts": {}}, "'prompts'"),
        ({"loci": [1]}, "'loci.0'"),
        ({"units": {"mutants": -1.5, "size": 1}}, "'units.mutants'"),
    ],
)
def test_a_value_of_another_sort_is_named(stored, changes, words):
    with pytest.raises(MutascopeError, match=r"s/manifest\.json is damaged: it has a ") as caught:
        parsed({**stored, **changes})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_controls_are_told_with_what_failed():
    assert Controls(weights_restored=True).told == "weights restored"
    failed = Controls(
        weights_restored=False, replayed=3, replay_mismatches=["0.v:0,1:min"], noops=8, noops_not_silent=[]
    )
    assert failed.told == (
        "weights NOT RESTORED, 2 of 3 replays agree, NOT 0.v:0,1:min, 8 of 8 no-ops are silent"
    )
