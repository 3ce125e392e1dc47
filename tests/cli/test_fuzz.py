"""Ten thousand inputs that were tampered with: a result or one clear sentence, never a traceback or a changed file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from builders import question_rows
from mutascope import Design, MutascopeError, Screen, ScreenData, TextAssay
from mutascope.assays.questions import load_questions
from mutascope.core.yamlfile import load_yaml
from mutascope.model.loading import load_genome
from mutascope.run.prediction import Prediction
from mutascope.run.spec import PredictSpec, ScreenSpec, read_spec
from mutascope.run.verify import verify
from mutascope.store import ScreenFolder

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(1800)]

ODD = st.sampled_from([10**30, 1e308, float("nan"), "", "é\ud800", "0-", "v,,q", "x" * 5000, "1e9", [[]]])
"""Values that somebody thought nobody expects."""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def many(examples: int) -> Callable[[Any], Any]:
    """Settings of a test of so many inputs, others in every run."""
    phases = (Phase.explicit, Phase.generate, Phase.shrink)
    return settings(
        max_examples=examples,
        phases=phases,
        derandomize=False,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


@st.composite
def tampered(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes with some of them flipped, deleted, repeated or inserted."""
    data = bytearray(content)
    for _ in range(draw(st.sampled_from((1, 1, 1, 2, 8)))):
        at, size = draw(st.integers(0, len(data))), draw(st.sampled_from((1, 1, 4, 64)))
        match draw(st.integers(0, 4)):
            case 0 if data:
                data[at % len(data)] ^= 1 << draw(st.integers(0, 7))
            case 1:
                del data[at : at + size]
            case 2:
                data[at:at] = data[at : at + size]
            case 3:
                data[at:at] = draw(st.binary(min_size=1, max_size=size))
            case _:
                del data[at:]
    return bytes(data)


@st.composite
def changed(draw: st.DrawFn, value: Any) -> Any:
    """JSON with a value replaced, deleted or renamed somewhere."""
    copy = json.loads(json.dumps(value))
    *path, last = draw(st.sampled_from(list(places(copy))))
    inner = copy
    for key in path:
        inner = inner[key]
    match draw(st.integers(0, 4)):
        case 0:
            del inner[last]
        case 1 if isinstance(inner, dict):
            inner[f"{last}s"] = inner.pop(last)
        case 2 if isinstance(inner[last], int | float):
            inner[last] = draw(st.sampled_from((-1, 0, 1, 2))) * inner[last] + draw(st.integers(-1, 1))
        case 3:
            inner[last] = draw(ODD)
        case _:
            inner[last] = draw(JSON)
    return copy


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Yield the paths of all values in JSON."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def tampered_json(good: bytes) -> st.SearchStrategy[bytes]:
    """The bytes of JSON that was tampered with, or says something else."""
    return tampered(good) | changed(json.loads(good)).map(lambda value: json.dumps(value).encode())


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
TAMPERED_SPECS = st.sampled_from(SPECS).flatmap(
    lambda spec: (
        tampered(yaml.safe_dump(spec).encode())
        | changed(spec).map(lambda value: yaml.safe_dump(value, allow_unicode=False).encode())
    )
)
JOBS = st.sampled_from([(ScreenSpec, Screen), (PredictSpec, Prediction)])


@many(2500)
@given(content=TAMPERED_SPECS, job=JOBS)
def test_specs(tmp_path_factory, content, job):
    path, (kind, made) = scratch(tmp_path_factory) / "spec.yaml", job
    path.write_bytes(content)
    outcome(lambda: repr(made.from_spec(read_spec(kind, load_yaml(path), where="spec"))))
    assert list(path.parent.iterdir()) == [path]


def scratch(factory: pytest.TempPathFactory) -> Path:
    """A folder that is empty."""
    folder = factory.getbasetemp() / "scratch"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


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


def written(out: Path) -> dict[Path, int]:
    """When every file and folder was written."""
    return {path: path.stat().st_mtime_ns for path in (out, *out.rglob("*"))}


@contextmanager
def replaced(path: Path, content: bytes | None) -> Iterator[None]:
    """Within it, a file has another content, or there is none."""
    good = path.read_bytes()
    path.unlink() if content is None else path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(good)


def check_folder(out: Path, whole: dict[str, Any]) -> None:
    """Look at a folder and verify it: what is called finished and whole is what it was, and nothing is written."""
    before = written(out)
    seen, faults = outcome(lambda: look(out)), outcome(lambda: verify(ScreenFolder(out)))
    assert written(out) == before
    if faults == [] and isinstance(seen, dict) and seen["finished"]:
        assert seen["records"].equals(whole["records"])
        assert seen["texts"].equals(whole["texts"])


def test_manifests(finished):
    manifest, whole = finished / "manifest.json", look(finished)

    @many(2000)
    @given(content=tampered_json(manifest.read_bytes()))
    def check(content: bytes) -> None:
        with replaced(manifest, content):
            check_folder(finished, whole)

    check()


def test_shards(finished):
    whole = look(finished)
    shards = [path for path in sorted(finished.rglob("*")) if path.is_file() and path.name != "manifest.json"]
    files = st.sampled_from(shards)
    others = st.none() | files.map(Path.read_bytes)
    contents = files.flatmap(lambda path: st.tuples(st.just(path), tampered(path.read_bytes()) | others))

    @many(2000)
    @given(contents)
    def check(drawn: tuple[Path, bytes | None]) -> None:
        with replaced(*drawn):
            check_folder(finished, whole)

    check()


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_question_files(tmp_path, form):
    path = tmp_path / f"questions.{form}"
    frame = pl.DataFrame(question_rows(8), schema=["question", *"ABCD", "answer"], orient="row")
    frame.write_csv(path) if form == "csv" else frame.write_ndjson(path)

    @many(1250)
    @given(content=tampered(path.read_bytes()), shots=st.integers(0, 2))
    def check(content: bytes, shots: int) -> None:
        path.write_bytes(content)
        outcome(lambda: load_questions(str(path), None, shots))
        assert list(tmp_path.iterdir()) == [path]

    check()


def test_model_configs(llama_folder, tmp_path):
    path = tmp_path / "config.json"

    @many(2000)
    @given(content=tampered_json((llama_folder / "config.json").read_bytes()))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        outcome(lambda: load_genome(str(tmp_path)))
        assert list(tmp_path.iterdir()) == [path]

    check()
