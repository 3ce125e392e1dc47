"""Folders that are not what they say."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from builders import choice_model, question_rows, tiny_model
from mutascope import Design, MutascopeError, Screen, ScreenData, load_model
from mutascope.assays import ChoiceAssay, TextAssay
from mutascope.core.manifest import STOCK, Controls
from mutascope.engine.reference import ReferenceEngine
from mutascope.run.prediction import Prediction
from mutascope.run.verify import repair, replay, verify
from mutascope.store import ScreenFolder
from stores import snapshot


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Screen, Path]:
    """A finished screen of 24 mutants on two questions, in several units."""
    folder = tmp_path_factory.mktemp("quiz")
    rows = [["question", *"ABCD", "answer"], *question_rows(8)]
    (folder / "q.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    assay = ChoiceAssay(name="quiz", questions=str(folder / "q.csv"), shots=1, right=0, wrong=2)
    model = load_model(str(choice_model(folder / "model")))
    screen = Screen(model, assay, Design(sample=12), tile=8, engine="reference")
    screen.run(folder / "out", quiet=True)
    return screen, folder / "out"


@pytest.fixture
def screen(made) -> Screen:
    return made[0]


@pytest.fixture
def out(made, tmp_path) -> Path:
    return Path(shutil.copytree(made[1], tmp_path / "out"))


def shard(out: Path, kind: str, unit: int = 1) -> Path:
    return out / kind / f"{unit:06d}.parquet"


def change_text(out: Path) -> None:
    texts = pl.read_parquet(shard(out, "phenotypes"))
    ScreenFolder(out).files.write_table("phenotypes/000001.parquet", texts.with_columns(text=pl.lit("other")))
    (out / "checksums" / "000001.sha256").unlink()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "records copied over others": lambda out: shutil.copy(shard(out, "records", 0), shard(out, "records")),
    "outputs copied over others": lambda out: shutil.copy(shard(out, "outputs", 0), shard(out, "outputs")),
    "records deleted": lambda out: shard(out, "records").unlink(),
    "outputs deleted": lambda out: shard(out, "outputs").unlink(),
    "phenotypes deleted": lambda out: shard(out, "phenotypes").unlink(),
    "a bit flipped": lambda out: flip(shard(out, "outputs")),
    "records truncated": lambda out: shard(out, "records").write_bytes(b"PAR1"),
    "a text changed": change_text,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_named_repaired_and_run_again(screen, out, damage):
    before = snapshot(out)
    assert verify(ScreenFolder(out)) == []
    DAMAGES[damage](out)
    faults = verify(ScreenFolder(out))
    assert [fault.of for fault in faults] == ["unit 000001"]
    repair(ScreenFolder(out), faults)
    screen.run(out, quiet=True)
    assert verify(ScreenFolder(out)) == []
    after = snapshot(out)
    assert {name: content for name, (_, content) in after.items() if name != "manifest.json"} == {
        name: content for name, (_, content) in before.items() if name != "manifest.json"
    }


@pytest.mark.parametrize("damage", ["records copied over others", "outputs deleted", "phenotypes deleted"])
def test_a_folder_that_is_opened_tells(screen, out, damage):
    DAMAGES[damage](out)
    with pytest.raises(MutascopeError, match=r"000001\.parquet is damaged"):
        ScreenData(out).records()
    with pytest.raises(MutascopeError, match=r"000001\.parquet"):
        screen.run(out, quiet=True)


def test_all_outputs_deleted_is_told(out):
    shutil.rmtree(out / "outputs")
    with pytest.raises(MutascopeError, match=r"outputs/000000\.parquet is damaged"):
        ScreenData(out)


@pytest.mark.parametrize(
    "part, field, value, words",
    [
        ("units", "size", 0, "units.size"),
        ("units", "mutants", 10**30, "units.mutants"),
        ("units", "mutants", 26, "its design has 24 mutants, not 26"),
        ("loci", "rows", 10**30, "loci.0.rows"),
        ("loci", "rows", 10**9, "there is no such design"),
        ("loci", "site_cols", 10**9, "there is no such design"),
    ],
)
def test_sizes_that_cannot_be_are_a_damaged_manifest(out, part, field, value, words):
    manifest = json.loads((out / "manifest.json").read_text())
    where = manifest[part] if part == "units" else manifest[part][0]
    where[field] = value
    (out / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(MutascopeError, match=rf"manifest\.json is damaged: .*{words}"):
        verify(ScreenFolder(out))


def test_layers_without_weights_are_a_damaged_manifest(out, cli):
    told = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps({**told, "layer_weights": 0}))
    result = cli("status", out)
    assert result.code == 2
    assert "is damaged: it has a 'layer_weights'" in result.err


def test_a_unit_too_many_is_named(out):
    shutil.copy(shard(out, "records"), out / "records" / "000099.parquet")
    assert [str(fault) for fault in verify(ScreenFolder(out))] == [
        "unit 000099: does not belong to this screen"
    ]


def test_a_unit_too_many_is_told_by_what_reads_it(out):
    for kind in ("records", "phenotypes", "outputs"):
        shutil.copy(shard(out, kind), out / kind / "000099.parquet")
    with pytest.raises(MutascopeError, match="it does not belong to this screen"):
        ScreenData(out).records()


@pytest.mark.parametrize("content", ["no checksum at all\n", "00  records/other.parquet\n"])
def test_damaged_checksums_are_a_fault(out, content):
    (out / "checksums" / "000001.sha256").write_text(content)
    assert [str(fault) for fault in verify(ScreenFolder(out))] == [
        "unit 000001: checksums/000001.sha256 is damaged"
    ]


def test_a_screen_of_stock_numerics_is_replayed_in_stock_numerics(made, tmp_path, monkeypatch):
    screen, _ = made
    design = Design(layers=(0,), kinds=("q",), sample=2)
    stock = Screen(screen.model, screen.spec.assay, design, tile=8, engine="reference", numerics="stock")
    stock.run(tmp_path / "out", quiet=True)
    used = []
    prepare = ReferenceEngine.prepare
    monkeypatch.setattr(
        ReferenceEngine, "prepare", lambda self, *asked: used.append(self.numerics) or prepare(self, *asked)
    )
    assert replay(ScreenData(tmp_path / "out"), 3) == []
    assert set(used) == {STOCK}


def test_a_list_that_has_grown_is_unfinished_and_no_fault(tmp_path):
    folder = str(tiny_model(tmp_path / "model", "llama", std=0.1))
    assay = TextAssay(name="test", prompt="hello", max_length=12, seed=3, temperature=0.7)
    predicted = Prediction(
        folder, assay, Design(layers=(1,), kinds=("v",), mutations=("max",)), tile=16, sample=0
    )
    data = predicted.run(tmp_path / "out", quiet=True)
    assert verify(data.folder) == []
    with data.folder.changed_manifest() as manifest:
        manifest.controls = Controls(weights_restored=True, calls=0)
        manifest.units.mutants = 8
    assert not ScreenData(tmp_path / "out").finished


def altered(path: Path) -> None:
    """Write another risk of every mutant in place of the one that was predicted."""
    files = ScreenFolder(path.parent.parent).files
    other = pl.read_parquet(path).with_columns(pl.col("risk") * 0.5)
    files.write_table(f"predictions/{path.name}", other)


PREDICTIONS: dict[str, Callable[[Path], object]] = {
    "1.v: are missing": lambda of: (of / "1.v.parquet").unlink(),
    "1.v: are not of the mutants": lambda of: shutil.copy(of / "2.v.parquet", of / "1.v.parquet"),
    "1.v: are damaged": lambda of: flip(of / "1.v.parquet"),
    "1.v: are not what was written": lambda of: altered(of / "1.v.parquet"),
    "99.v: do not belong to": lambda of: shutil.copy(of / "2.v.parquet", of / "99.v.parquet"),
}


@pytest.mark.parametrize("content", [b"", b"\xff", b"00  predictions/1.v.parquet\n", b"one word\n"])
def test_checksums_of_predictions_are_looked_at(tmp_path, content):
    folder = str(tiny_model(tmp_path / "model", "llama", std=0.1))
    assay = TextAssay(name="test", prompt="hello", max_length=12, seed=3, temperature=0.7)
    Prediction(folder, assay, Design(layers=(1,), kinds=("v",)), tile=8, sample=0).run(
        tmp_path / "out", quiet=True
    )
    store = ScreenFolder(tmp_path / "out")
    store.files.write("checksums/1.v.sha256", content)
    (fault,) = verify(store)
    assert str(fault).startswith("predictions of 1.v: are not what was written")


@pytest.mark.parametrize("reason", PREDICTIONS)
def test_predictions_that_are_damaged_are_named_and_made_again(tmp_path, cli, reason):
    folder, out = str(tiny_model(tmp_path / "model", "llama", std=0.1)), tmp_path / "out"
    assay = TextAssay(name="test", prompt="hello", max_length=12, seed=3, temperature=0.7)
    predicted = Prediction(folder, assay, Design(layers=(1, 2), kinds=("v",)), tile=8, sample=4)
    whole = predicted.run(out, quiet=True).predictions()
    assert verify(ScreenFolder(out)) == []
    PREDICTIONS[reason](out / "predictions")
    result = cli("verify", out)
    assert result.code == 2
    assert result.out.startswith(f"predictions of {reason}")
    assert cli("repair", out).code == 0
    assert predicted.run(out, quiet=True).predictions().equals(whole)
    assert cli("verify", out).code == 0


def test_covariates_that_are_damaged_are_named_and_made_again(screen, out, cli):
    (out / "covariates.parquet").write_bytes(b"PAR1")
    result = cli("verify", out)
    assert (result.code, result.out[:30]) == (2, "covariates.parquet: is damaged")
    assert cli("repair", out).code == 0
    screen.run(out, quiet=True)
    assert cli("verify", out).code == 0


@pytest.mark.parametrize("name, reason", [("covariates", "not of the sites"), ("baselines", "is damaged")])
def test_tables_of_sites_that_are_others_are_named(tmp_path, llama, name, reason):
    assay = TextAssay(name="test", prompt="hello", max_length=12, seed=3, temperature=0.7)
    if name == "covariates":
        Screen(llama, assay, Design(kinds=("v",), sample=4), tile=8).run(tmp_path, quiet=True)
        table = pl.read_parquet(tmp_path / "covariates.parquet")
    else:
        Prediction(llama, assay, Design(kinds=("v",)), tile=16, sample=0).run(tmp_path, quiet=True)
        table = pl.DataFrame({"layer": [1]})
    assert verify(ScreenFolder(tmp_path)) == []
    ScreenFolder(tmp_path).files.write_table(f"{name}.parquet", table[:-1])
    (fault,) = verify(ScreenFolder(tmp_path))
    assert str(fault).startswith(f"{name}.parquet: is ")
    assert reason in str(fault)
    assert fault.files == (f"{name}.parquet",)


def test_silence_that_outputs_contradict_is_named(out):
    records = pl.read_parquet(shard(out, "records"))
    ScreenFolder(out).files.write_table("records/000001.parquet", records.with_columns(~pl.col("silent")))
    (out / "checksums" / "000001.sha256").unlink()
    assert [fault.reason for fault in verify(ScreenFolder(out))] == [
        "its silent mutants are not those that say what the wild type says"
    ]


def test_a_silent_mutant_that_says_something_else_is_named(llama, tmp_path):
    assay = TextAssay(name="test", prompt="hello", max_length=12, seed=3, temperature=0.7)
    Screen(llama, assay, Design(layers=(0,), kinds=("v",), sample=4), tile=8).run(tmp_path, quiet=True)
    store = ScreenFolder(tmp_path)
    store.files.write_table("records/000000.parquet", store.records().with_columns(~pl.col("silent")))
    (tmp_path / "checksums" / "000000.sha256").unlink()
    assert [fault.reason for fault in verify(store)] == [
        "its silent mutants are not those that say what the wild type says"
    ]


@pytest.mark.parametrize("name", ["records/000001.parquet", "phenotypes/000001.parquet", "manifest.json"])
def test_a_folder_in_place_of_a_file_is_a_sentence(out, cli, name):
    (out / name).unlink()
    (out / name).mkdir()
    for verb in ("verify", "repair"):
        result = cli(verb, out)
        assert (result.code, result.err.count("\n")) == (2, 1), (verb, result.err)


def test_the_verbs(screen, out, cli):
    result = cli("verify", out, "--replay", 5)
    assert (result.code, result.out) == (0, f"{out} is whole: 24 of 24 mutants, 5 calls replayed\n"), (
        result.err
    )
    change_text(out)
    result = cli("verify", out)
    assert (result.code, result.out) == (2, "unit 000001: a text does not match its hash\n")
    assert result.err.startswith(f"mutascope: 1 part of {out} cannot be trusted: run mutascope repair {out}")
    result = cli("repair", out)
    assert result.out.endswith(f"1 part of {out} to be made again by the command that made it\n")
    screen.run(out, quiet=True)
    assert cli("verify", out).code == 0


def test_a_call_that_does_not_come_out_again_is_named(screen, out, cli):
    outputs = pl.read_parquet(shard(out, "outputs"))
    ScreenFolder(out).files.write_table(
        "outputs/000001.parquet", outputs.with_columns(first_divergence=pl.lit(7, pl.Int32))
    )
    (out / "checksums" / "000001.sha256").unlink()
    result = cli("verify", out, "--replay", 1000)
    assert result.code == 2
    assert "is whole, but does not come out again: " in result.err
