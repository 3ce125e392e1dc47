"""Thousands of inputs that were tampered with: a result or one clear sentence, never a traceback or a changed file.

Mutations are drawn with seeds, so that what fails can be run again.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from builders import question_rows
from mutascope import Design, MutascopeError, Screen, ScreenData, TextAssay
from mutascope.assays.questions import load_questions
from mutascope.core.yamlfile import load_yaml
from mutascope.run.prediction import Prediction
from mutascope.run.spec import PredictSpec, ScreenSpec, read_spec
from mutascope.run.verify import verify
from mutascope.store import ScreenFolder
from stores import snapshot

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(1800)]

ODD = [
    None,
    True,
    -1,
    0,
    1,
    10**30,
    1e308,
    float("nan"),
    "",
    "é\ud800",
    "0-",
    "v,,q",
    "x" * 5000,
    [],
    [[]],
    {},
    {"a": 1},
    "1e9",
]
"""Values that nobody expects."""


def tampered(content: bytes, draw: random.Random) -> bytes:
    """Return bytes with some of them flipped, deleted, repeated or inserted."""
    data = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 8))):
        at = draw.randrange(len(data) + 1)
        size = draw.choice((1, 1, 4, 64))
        match draw.randrange(5):
            case 0 if data:
                data[at % len(data)] ^= 1 << draw.randrange(8)
            case 1:
                del data[at : at + size]
            case 2:
                data[at:at] = data[at : at + size]
            case 3:
                data[at:at] = draw.randbytes(size)
            case _:
                del data[at:]
    return bytes(data)


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Yield the paths of all values in JSON."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def changed(value: Any, draw: random.Random) -> Any:
    """Return JSON with a value replaced, deleted or renamed somewhere."""
    copy = json.loads(json.dumps(value))
    *path, last = draw.choice(list(places(copy)))
    inner = copy
    for key in path:
        inner = inner[key]
    match draw.randrange(4):
        case 0:
            del inner[last]
        case 1 if isinstance(inner, dict):
            inner[f"{last}s"] = inner.pop(last)
        case 2 if isinstance(inner[last], int | float):
            inner[last] = draw.choice((-1, 0, 1, 2)) * inner[last] + draw.choice((-1, 0, 1))
        case _:
            inner[last] = draw.choice(ODD)
    return copy


def outcome(work: Callable[[], Any]) -> Any:
    """Return what work returns, or its error in one sentence."""
    try:
        return work()
    except MutascopeError as error:
        told = str(error)
    assert "Traceback" not in told
    assert 10 < len(told) < 20_000
    return told


SPECS = [
    {
        "model": "smollm2-135m",
        "assay": "drosophila",
        "layers": "0,3-5",
        "kinds": "v,down",
        "tile": 8,
        "sample": 10,
    },
    {
        "assay": {"prompt": "Say", "max_new_tokens": 4, "temperature": 0.7, "top_k": 5},
        "mutations": "max,zero",
        "seed": 3,
    },
    {
        "assay": "mmlu21",
        "questions": "general",
        "shots": 2,
        "right": 1,
        "wrong": 1,
        "rows": "0-3",
        "cols": [1, 2],
    },
    {
        "assay": "newton",
        "max_length": 90,
        "engine": "reference",
        "batch": 4,
        "dtype": "bfloat16",
        "numerics": "own",
    },
]


JOBS: list[tuple[Any, Any]] = [(ScreenSpec, Screen), (PredictSpec, Prediction)]


@pytest.mark.parametrize("seed", range(8))
def test_specs(tmp_path, seed):
    """2,400 of them."""
    draw, path = random.Random(seed), tmp_path / "spec.yaml"
    for _ in range(300):
        spec = draw.choice(SPECS)
        if draw.random() < 0.5:
            path.write_bytes(tampered(yaml.safe_dump(spec).encode(), draw))
        else:
            path.write_text(yaml.safe_dump(changed(spec, draw), allow_unicode=False))
        kind, job = draw.choice(JOBS)
        outcome(
            lambda path=path, kind=kind, job=job: repr(
                job.from_spec(read_spec(kind, load_yaml(path), where="spec"))
            )
        )
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, llama_folder) -> Path:
    """A finished screen of some units."""
    out = tmp_path_factory.mktemp("finished") / "screen"
    assay = TextAssay(name="assay", prompt="Once upon a time:", max_new_tokens=4)
    design = Design(layers=(0,), kinds=("v", "down"), sample=30)
    Screen(str(llama_folder), assay, design, tile=8, engine="reference").run(out, quiet=True)
    return out


def look(out: Path) -> dict[str, Any]:
    """Open a folder and read all of it."""
    data = ScreenData(out)
    data.summary()
    return {
        "finished": data.finished,
        "records": data.records(),
        "texts": data.texts(),
        "rates": data.rates("kind"),
    }


def check_folder(out: Path, whole: dict[str, Any]) -> None:
    """Look at a folder and verify it: what is called finished and whole is what it was, and nothing is written."""
    before = snapshot(out)
    seen, faults = outcome(lambda: look(out)), outcome(lambda: verify(ScreenFolder(out)))
    assert snapshot(out) == before
    if faults == [] and isinstance(seen, dict) and seen["finished"]:
        assert seen["records"].equals(whole["records"])
        assert seen["texts"].equals(whole["texts"])


@pytest.mark.parametrize("seed", range(10))
def test_manifests(finished, tmp_path, seed):
    """2,000 of them."""
    draw, out, whole = random.Random(seed), tmp_path / "screen", look(finished)
    shutil.copytree(finished, out)
    good = (out / "manifest.json").read_bytes()
    for _ in range(200):
        if draw.random() < 0.4:
            content = tampered(good, draw)
        else:
            content = json.dumps(changed(json.loads(good), draw)).encode()
        (out / "manifest.json").write_bytes(content)
        check_folder(out, whole)


@pytest.mark.parametrize("seed", range(10))
def test_shards(finished, tmp_path, seed):
    """2,000 of them."""
    draw, out, whole = random.Random(seed), tmp_path / "screen", look(finished)
    shutil.copytree(finished, out)
    shards = [path for path in sorted(out.rglob("*")) if path.is_file() and path.name != "manifest.json"]
    for _ in range(200):
        path, other = draw.choice(shards), draw.choice(shards)
        good = path.read_bytes()
        match draw.randrange(4):
            case 0:
                path.write_bytes(other.read_bytes())
            case 1:
                path.unlink()
            case _:
                path.write_bytes(tampered(good, draw))
        check_folder(out, whole)
        path.write_bytes(good)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_question_files(tmp_path, seed, form):
    """2,400 of them."""
    draw, path = random.Random(seed), tmp_path / f"questions.{form}"
    frame = pl.DataFrame(question_rows(8), schema=["question", *"ABCD", "answer"], orient="row")
    frame.write_csv(path) if form == "csv" else frame.write_ndjson(path)
    good = path.read_bytes()
    for _ in range(150):
        path.write_bytes(tampered(good, draw))
        outcome(lambda: load_questions(str(path), None, draw.randrange(3)))
    assert list(tmp_path.iterdir()) == [path]
