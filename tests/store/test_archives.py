"""Folders of earlier versions, and one of this: they are read for ever (tests/data/archives/make_archives.py)."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import polars as pl
import pytest
import typer

from builders import tiny_model
from mutascope import ScreenData, load_model
from mutascope.cli.main import app
from mutascope.core.genome import Mutant
from mutascope.core.schema import MUTANT_KEY, OUTPUT_SCHEMA, RECORD_SCHEMA, SITE_KEY

ARCHIVES = Path(__file__).resolve().parents[1] / "data" / "archives"
TEXTS = ("format1/text", "format2/text")
FINISHED = tuple(f"format{version}/{kind}" for version in (1, 2) for kind in ("text", "choice", "panel"))
MUTANTS = {"text": 24, "choice": 12, "panel": 3}
ASSAY = "name: drosophila\nprompt: The life cycle\nseed: 1\ntemperature: 0.9\nmax_length: 30\n"


@pytest.fixture
def archives(tmp_path, monkeypatch) -> Path:
    """Copies that may be written, in the current folder."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(ARCHIVES, "archives"))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def first_nsm(results: ScreenData) -> Mutant:
    row = results.records().filter(~pl.col("silent")).row(0, named=True)
    return Mutant(*(row[name] for name in MUTANT_KEY))


@pytest.mark.parametrize("name", FINISHED)
def test_what_a_folder_holds(name):
    results, kind = ScreenData(ARCHIVES / name), name.partition("/")[2]
    records = results.records()
    added = ["score", "destructive"] if kind == "choice" else []
    assert records.columns == [*RECORD_SCHEMA, *added]
    assert len(records) == results.done == results.total == MUTANTS[kind]
    assert results.finished
    assert results.manifest.assay.type == kind
    assert records["silent"].not_().any()
    assert results.texts()["text"].null_count() == 0
    assert len(results.covariates()) == records.select(*SITE_KEY).n_unique()
    outputs, mutant = results.folder.outputs(), first_nsm(results)
    probabilities = [f"p_{letter}" for letter in "ABCD"] if kind == "choice" else []
    assert outputs.columns == [*OUTPUT_SCHEMA, *probabilities]
    assert len(outputs) == len(results.manifest.prompts) * len(records) * (kind != "text")
    assert results.record(mutant)["text"]
    if kind != "text":
        assert len(results.outputs_of(mutant)) == len(results.manifest.prompts)


def test_records_of_a_text():
    for name in TEXTS:
        first = ScreenData(ARCHIVES / name).texts().row(0, named=True)
        assert first.pop("text").startswith("<s>The life cycle")
        assert first == {
            **{"layer": 0, "kind": "v", "row": 1, "col": 5, "mutation": "max"},
            **{"silent": False, "first_divergence": 0, "phenotype": "16d1522848d6112c6bbd5488b54cfbaf"},
        }


READING = {
    "status {folder}": "{count} of {count} stored",
    "verify {folder}": "is whole: {count} of {count} mutants",
    "repair {folder}": "0 parts of",
    "show {folder} {mutant}": "{mutant}",
    "map {folder} --out sheet.png": "sheet.png",
    "map {folder} --layer {layer} --kind {kind} --out locus.png": "locus.png",
    "export {folder} --out t.csv": "{count} records",
    "analyze {folder} --out tables": "tables",
    "figures {folder} --out pictures --only {figure}": "{figure}",
    "report {folder} --out report.html": "report.html",
    "explore {folder} --export site": "--directory site",
    "pyramid {folder}": "nothing to do",
    "compact {folder} --out joined": "in 1 unit instead of 1",
    "merge {folder} --out joined": "holds all units",
}
"""Commands that read a folder and leave it as it is, and what they say."""
LOADING = (
    "screen --model tiny-llama --assay assay.yaml --kinds v,down --tile 8 --sample 12 --out {folder}",
    "predict --model tiny-llama --assay assay.yaml --kinds v --tile 8 --sample 4 --out {folder}",
    "panel {folder} --prompts p.txt --max-length 24 --out panelled",
    "verify {folder} --replay 1",
    "show {folder} {mutant} --check",
    "show {folder} {mutant} --save saved",
    "lm-eval {folder} task",
)
"""Commands that load the model of a folder."""
WITHOUT_FOLDER = {"genome", "models", "import-authors"}
NO_MAPS = ("explore", "pyramid")
"""Verbs that refuse a panel."""


def test_no_verb_is_forgotten():
    shown = {command.split()[0] for command in (*READING, *LOADING)}
    assert set(typer.main.get_command(app).commands) == shown | WITHOUT_FOLDER  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.usefixtures("unpainted")
@pytest.mark.parametrize("command, said", READING.items(), ids=[" ".join(c.split()[:2]) for c in READING])
@pytest.mark.parametrize("name", FINISHED)
def test_every_verb_that_reads(cli, archives, name, command, said):
    folder, kind = archives / name, name.partition("/")[2]
    mutant = first_nsm(ScreenData(folder))
    told = {
        "folder": folder,
        "mutant": mutant,
        "layer": mutant.layer,
        "kind": mutant.kind,
        "count": MUTANTS[kind],
        "figure": "nsm_by_kind" if kind != "panel" else "writers",
    }
    words = command.format(**told).split()
    if words[0] == "pyramid":
        cli(*words)
    before = tree(folder)
    result = cli(*words)
    if kind == "panel" and words[0] in NO_MAPS:
        assert (result.code, result.err.count("\n")) == (2, 1)
        assert "no map" in result.err
    else:
        assert result.code == 0, result.err
        assert said.format(**told) in result.out
    assert tree(folder) == before
    check_written(words[0], ScreenData(folder))


def check_written(verb: str, results: ScreenData) -> None:
    """Assert that what a verb has written holds the records."""
    if verb == "export":
        assert pl.read_csv("t.csv").columns == [*results.records().columns, "text"]
    elif verb == "analyze":
        assert pl.read_csv("tables/screens.csv")["stored"].to_list() == [len(results.records())]
    elif verb in ("compact", "merge"):
        assert ScreenData("joined").texts().equals(results.texts())


@pytest.mark.usefixtures("unpainted")
@pytest.mark.parametrize("version", [1, 2])
def test_screens_of_a_model_are_read_together(cli, archives, version):
    folders = [archives / f"format{version}" / kind for kind in MUTANTS]
    for words in (("analyze", "--out", "tables"), ("report", "--out", "report.html")):
        result = cli(words[0], *folders, *words[1:])
        assert result.code == 0, result.err
    told = pl.read_parquet("tables/supplementary_3_outputs.parquet").drop_nulls("score")
    choice = ScreenData(folders[1])
    wild = [output.text for output in choice.manifest.wild_type]
    for mutant, changed in zip(told.select(MUTANT_KEY).iter_rows(), told["changed"], strict=True):
        answers = choice.outputs_of(Mutant(*mutant))["text"].to_list()
        assert changed == sum(said != was for said, was in zip(answers, wild, strict=True))
    assert len(told)


@pytest.mark.parametrize("name", [name for name in FINISHED if "panel" not in name])
def test_the_format_of_the_authors(cli, archives, name):
    assert cli("export", archives / name, "--format", "authors", "--out", "authors").code == 0


@pytest.mark.parametrize("name", ["format1/panel", "format2/panel"])
def test_the_page_of_a_mutant(cli, archives, name):
    folder = archives / name
    assert cli("show", folder, first_nsm(ScreenData(folder)), "--page", "page.html").code == 0


def test_an_unfinished_one(cli, archives):
    folder = archives / "format1" / "unfinished"
    result = cli("status", folder)
    assert (result.code, "0 of 24 stored" in result.out, "unfinished" in result.out) == (0, True, True)
    assert cli("export", folder, "--out", "t.csv").code == 0
    assert pl.read_csv("t.csv").columns == [*RECORD_SCHEMA, "text"]
    for verb in ("analyze", "report", "figures"):
        result = cli(verb, folder, "--out", "out")
        assert (result.code, result.err.count("\n")) == (2, 1)
        assert "holds no record yet" in result.err


# with the model at hand


@pytest.fixture
def screen_again(archives, cli):
    """Runs the screen of an archive into it, as if it had been made of the weights that are here."""
    model = tiny_model("tiny-llama", "llama")
    fingerprint = load_model(str(model)).fingerprint
    Path("assay.yaml").write_text(ASSAY)

    def run(folder: Path):
        path = folder / "manifest.json"
        manifest = json.loads(path.read_text())
        manifest["model"]["fingerprint"] = fingerprint
        path.write_text(json.dumps(manifest, indent=1))
        options = ("--kinds", "v,down", "--tile", 8, "--sample", 12)
        return cli("screen", "--model", "tiny-llama", "--assay", "assay.yaml", *options, "--out", folder)

    return run


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """The model of the archives, if this processor draws its weights, and what commands of it name."""
    folder = tmp_path_factory.mktemp("sources")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_archives().make_sources()
    (folder / "assay.yaml").write_text(ASSAY)
    archived = ScreenData(ARCHIVES / "format2" / "text").manifest
    if load_model(str(folder / "tiny-llama")).fingerprint != archived.model.fingerprint:
        pytest.skip("torch draws other weights on this processor")
    return folder


@pytest.mark.parametrize("command", LOADING, ids=[" ".join(c.split()[::3]) for c in LOADING])
@pytest.mark.parametrize("name", FINISHED)
def test_every_verb_that_loads_the_model(cli, archives, sources, name, command):
    folder = archives / name
    shutil.copytree(sources, ".", dirs_exist_ok=True)
    before = tree(folder)
    result = cli(*command.format(folder=folder, mutant=first_nsm(ScreenData(folder))).split())
    told = result.err.splitlines()[-1] if result.code else ""
    if any(part in command for part in ("--replay", "--check")) and "format1" in name:
        assert "made by an earlier version, whose records depend on the machine" in told
    elif command.startswith("lm-eval"):
        assert "mutascope: " in told
    elif command.startswith(("screen", "predict")):
        assert result.code == 0 or "holds another screen" in told
    else:
        assert result.code == 0, result.err
    assert tree(folder) == before or command.startswith(("screen", "predict"))


def test_an_unfinished_screen_of_format_1_is_not_continued(archives, screen_again):
    folder = archives / "format1" / "unfinished"
    files = {path: content for path, content in tree(folder).items() if "manifest" not in path}
    result = screen_again(folder)
    assert result.code == 2
    (line,) = result.err.strip().splitlines()
    assert line.startswith(f"mutascope: {folder} was made by an earlier version, ")
    after = tree(folder)
    assert json.loads(after.pop(str(folder / "manifest.json")))["format_version"] == 1
    assert after == files


@pytest.mark.parametrize("name", TEXTS)
def test_a_finished_screen_is_left_alone(archives, screen_again, name):
    folder = archives / name
    files = {path: content for path, content in tree(folder).items() if "manifest" not in path}
    result = screen_again(folder)
    assert result.code == 0, result.err
    assert "is finished: all 24 mutants are there, nothing to do" in result.out
    after = tree(folder)
    assert "controls" in json.loads(after.pop(str(folder / "manifest.json")))
    assert after == files


def make_archives():
    spec = importlib.util.spec_from_file_location("make_archives", ARCHIVES / "make_archives.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", MUTANTS)
def test_the_records_of_this_version_come_out_again(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    module, archived = make_archives(), ScreenData(ARCHIVES / "format2" / kind)
    module.make_sources()
    screen = module.SCREENS[kind]()
    if screen.model.fingerprint != archived.manifest.model.fingerprint:
        pytest.skip("torch draws other weights on this processor")
    screen.run("again", quiet=True)
    again = screen.results
    for key in ("assay", "generation", "prompts", "design", "loci", "numerics"):
        assert getattr(again.manifest, key) == getattr(archived.manifest, key), key
    for output, before in zip(again.manifest.wild_type, archived.manifest.wild_type, strict=True):
        # the archives are older than pieces and margins
        assert {**output.to_dict(), **before.to_dict()} == output.to_dict()
    assert again.records().equals(archived.records())
    assert again.outputs().equals(archived.outputs())
    assert again.phenotypes().equals(archived.phenotypes())
