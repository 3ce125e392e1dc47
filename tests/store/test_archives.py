"""Folders of earlier versions, and one of this: they are read for ever (tests/data/archives/make_archives.py)."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from builders import tiny_model
from mutascope import ScreenData, load_model
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


@pytest.mark.usefixtures("unpainted")
@pytest.mark.parametrize("name", FINISHED)
def test_every_verb_that_reads(cli, archives, name):
    folder, kind = archives / name, name.partition("/")[2]
    before, mutant = tree(folder), first_nsm(ScreenData(folder))

    def run(*arguments) -> str:
        result = cli(*arguments)
        assert result.code == 0, result.err
        return result.out

    count = MUTANTS[kind]
    assert f"{count} of {count} stored" in run("status", folder)
    assert str(mutant) in run("show", folder, mutant)
    run("map", folder, "--out", "sheet.png")
    run("map", folder, "--layer", mutant.layer, "--kind", mutant.kind, "--out", "locus.png")
    assert f"{count} records" in run("export", folder, "--out", "t.csv")
    assert pl.read_csv("t.csv").columns == [*ScreenData(folder).records().columns, "text"]
    run("analyze", folder, "--out", "tables")
    assert pl.read_csv("tables/screens.csv")["stored"].to_list() == [count]
    run("report", folder, "--out", "report.html")
    assert ScreenData(folder).manifest.assay.name in Path("report.html").read_text()
    if kind == "panel":
        run("figures", folder, "--out", "pictures")
        run("show", folder, mutant, "--page", "page.html")
    else:
        run("figures", folder, "--out", "pictures", "--only", "nsm_by_kind")
        assert Path("pictures/nsm_by_kind.pdf").exists()
        run("export", folder, "--format", "authors", "--out", "authors")
    assert tree(folder) == before


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
