"""The JSON of every page is what explorer/shapes.py says, and what the types of the page say."""

import gzip
import json
import re
from importlib.resources import files
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from mutascope.explorer import Atlas, shapes
from mutascope.findings import all_findings

NAMES = {"AtlasIndex": "Atlas", "ScreenIndex": "Screen", "LocusIndex": "Locus", "PanelIndex": "Panel"}
SAME = ("Sentence", "Section", "Refused")


def misfits(value: Any, wanted: Any, place: str = "") -> list[str]:
    """Where a value of JSON is not of a type."""
    if is_typeddict(wanted):
        hints = get_type_hints(wanted)
        if not isinstance(value, dict) or value.keys() != hints.keys():
            return [f"{place}: {sorted(value)} for {sorted(hints)}"]
        return [each for key, hint in hints.items() for each in misfits(value[key], hint, f"{place}.{key}")]
    origin, parts = get_origin(wanted), get_args(wanted)
    if origin is UnionType:
        return [] if any(not misfits(value, part) for part in parts) else [f"{place}: {value!r}"]
    if origin is tuple:
        parts = parts if isinstance(value, list) and len(value) == len(parts) else ()
        return [each for part, hint in zip(value, parts, strict=True) for each in misfits(part, hint, place)]
    if origin in (list, dict):
        if not isinstance(value, origin):
            return [f"{place}: {value!r}"]
        inner = value.values() if isinstance(value, dict) else value
        return [each for part in inner for each in misfits(part, parts[-1], f"{place}[]")]
    exact = {float: (float, int), None: NoneType}.get(wanted, wanted)
    wrong = not isinstance(value, exact) or (isinstance(value, bool) and wanted is not bool)
    return [f"{place}: {value!r}"] if wrong else []


def shape_of(path: str) -> Any:
    """What a page holds as JSON; None where it holds arrays."""
    if path.startswith("data/panels/"):
        return shapes.Outputs
    if "/texts/" in path:
        return shapes.Texts
    return {"atlas.json": shapes.AtlasIndex, "words.bin": shapes.Words}.get(path.rpartition("/")[2])


def test_the_json_of_every_page_has_its_shape(folders, hostile, predicted):
    atlas, seen = Atlas([*map(str, folders.values()), str(hostile), str(predicted)]), 0
    for path in atlas.paths():
        wanted = shape_of(path)
        if wanted is not None:
            page = atlas.read(path)
            value = json.loads(gzip.decompress(page) if path.endswith(".bin") else page)
            assert not misfits(value, wanted, path)
            seen += 1
    assert seen > 10
    for line in atlas.findings:
        assert not misfits(json.loads(line), shapes.Section | shapes.Refused)


@pytest.mark.parametrize(
    "value, wanted",
    [
        ({"refused": 1}, shapes.Refused),
        ({"refused": "", "more": ""}, shapes.Refused),
        ([["a", 1]], shapes.Texts),
        ([True], list[int]),
        ("a", shapes.Words),
    ],
)
def test_what_has_another_shape_is_found(value, wanted):
    assert misfits(value, wanted)


def test_the_page_knows_the_same_names():
    told = (files("mutascope.explorer") / "web" / "types.d.ts").read_text()
    for name in (*NAMES, *SAME):
        (body,) = re.findall(rf"interface {NAMES.get(name, name)} \{{(.*?)\}}", told, re.DOTALL)
        assert sorted(re.findall(r"(\w+)\??:", body)) == sorted(get_type_hints(getattr(shapes, name))), name


def test_findings_lead_on_from_sections_that_there_are():
    code = (files("mutascope.explorer") / "web" / "findings.js").read_text()
    table = re.search(r"const PLACES = \{\n(.*?)\n\};", code, re.DOTALL)
    assert table is not None
    sections = {finding.section.name for finding in all_findings() if finding.section}
    assert set(re.findall(r"^  (\w+):", table[1], re.MULTILINE)) <= sections
