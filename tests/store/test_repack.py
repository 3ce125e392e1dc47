"""Screens written into other folders: in larger units, or parts of one together."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from builders import tiny_model
from mutascope import Design, MutascopeError, Prediction, Screen, ScreenData, TextAssay
from mutascope.run.shards import Shard
from mutascope.run.verify import verify
from mutascope.store import ScreenFolder
from mutascope.store.files import Files
from mutascope.store.repack import compact, merge
from stores import snapshot

TALE = TextAssay(name="tale", prompt="Once upon a time:", max_new_tokens=3, temperature=0.7)
DESIGN = Design(kinds=("v", "down"), sample=40)


@pytest.fixture(scope="module")
def screen(tmp_path_factory) -> Screen:
    """A finished screen of 80 mutants in five units."""
    folder = tmp_path_factory.mktemp("repack")
    screen = Screen(str(tiny_model(folder / "model", "llama")), TALE, DESIGN, tile=8, engine="reference")
    screen.run(folder / "whole", quiet=True)
    return screen


@pytest.fixture
def whole(screen) -> ScreenFolder:
    return ScreenFolder(str(Path(screen.spec.model).parent / "whole"))


def check(out: Path, whole: ScreenFolder) -> None:
    """Assert that a folder is whole and holds the same."""
    mine, theirs = ScreenData(out), ScreenData(whole)
    assert verify(ScreenFolder(out)) == []
    assert mine.finished
    assert mine.records().equals(theirs.records())
    assert mine.texts().equals(theirs.texts())
    assert mine.covariates().equals(theirs.covariates())


@pytest.mark.parametrize("size, units", [(None, 1), (32, 3), (16, 5)])
def test_a_compact_screen_holds_the_same_in_fewer_files(whole, tmp_path, cli, size, units):
    before = snapshot(Path(whole.path))
    options = () if size is None else ("--size", size)
    result = cli("compact", whole.path, "--out", tmp_path / "out", *options)
    assert (result.code, result.err) == (0, "")
    assert (
        result.out
        == f"{tmp_path / 'out'} holds {whole.path} in {units} unit{'s'[: units > 1]} instead of 5\n"
    )
    check(tmp_path / "out", whole)
    assert len(list((tmp_path / "out" / "records").iterdir())) == units
    assert snapshot(Path(whole.path)) == before


def test_a_crash_at_any_write_leaves_a_folder_that_can_be_read_and_finished(whole, tmp_path, monkeypatch):
    out, write, left = tmp_path / "out", Files.write, [0]

    def break_off(self, name, content):
        if self.path == str(out) and not name.startswith("leases"):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
        write(self, name, content)

    monkeypatch.setattr(Files, "write", break_off)
    allowed = 0
    for allowed in range(20):
        left[0] = allowed
        try:
            compact(whole, ScreenFolder(out), 32)
            break
        except KeyboardInterrupt:
            data = ScreenData(out)
            assert len(data.records()) == data.done
            assert not data.finished
    assert allowed > 2
    check(out, whole)


def test_what_is_missing_stays_missing(screen, whole, tmp_path):
    part = tmp_path / "part"
    shutil.copytree(whole.path, part)
    for unit in ("000001", "000004"):
        (part / "records" / f"{unit}.parquet").unlink()
    compact(ScreenFolder(part), ScreenFolder(tmp_path / "out"), 32)
    folder = ScreenFolder(tmp_path / "out")
    assert folder.finished_units() == {"000001"}
    assert folder.parts.count() == 16
    assert screen.run(tmp_path / "out", quiet=True).fresh == 32
    check(tmp_path / "out", whole)


@pytest.mark.parametrize("size", [8, 24, 16 * 10**18])
def test_other_sizes_are_refused(whole, tmp_path, cli, size):
    result = cli("compact", whole.path, "--out", tmp_path / "out", "--size", size)
    assert result.code == 2
    assert "must be a multiple of 16" in result.err
    assert not (tmp_path / "out").exists()


def test_predictions_stay_in_their_units(tmp_path, screen):
    job = Prediction(screen.spec.model, TALE, Design(kinds=("v",)), tile=8, sample=4)
    job.run(tmp_path / "guessed", quiet=True)
    with pytest.raises(MutascopeError, match="may grow"):
        compact(ScreenFolder(tmp_path / "guessed"), ScreenFolder(tmp_path / "out"))


@pytest.fixture
def parts(screen, tmp_path) -> list[Path]:
    """Two parts of the screen."""
    for number in (1, 2):
        screen.run(tmp_path / f"part{number}", quiet=True, shard=Shard(number, 2))
    return [tmp_path / "part1", tmp_path / "part2"]


def test_parts_of_a_screen_make_it_whole(screen, whole, parts, tmp_path, cli):
    out = tmp_path / "out"
    result = cli("merge", *parts, "--out", out)
    assert (result.code, result.err) == (0, "")
    assert (
        result.out == f"{out} holds all units: run the command of its parts with --out {out} to finish it\n"
    )
    assert not ScreenData(out).finished
    assert screen.run(out, quiet=True).fresh == 0
    check(out, whole)


def test_some_parts_make_some_of_it(whole, parts, tmp_path):
    assert merge([ScreenFolder(parts[0]), ScreenFolder(parts[0])], ScreenFolder(tmp_path / "out")) == 2
    assert merge([ScreenFolder(parts[1])], ScreenFolder(tmp_path / "out")) == 0
    assert ScreenData(tmp_path / "out").records().equals(ScreenData(whole).records())


def test_parts_of_another_screen_are_refused(screen, parts, tmp_path, cli):
    other = Screen(
        screen.spec.model, TALE, DESIGN.model_copy(update={"sample_seed": 1}), tile=8, engine="reference"
    )
    other.run(tmp_path / "other", quiet=True, shard=Shard(1, 2))
    result = cli("merge", parts[0], tmp_path / "other", "--out", tmp_path / "out")
    assert result.code == 2
    assert f"{tmp_path / 'other'} holds another screen: design.sample_seed is" in result.err
    assert not (tmp_path / "out").exists()


def test_parts_that_disagree_are_refused(parts, whole, tmp_path):
    for kind in (
        "records",
        "phenotypes",
    ):  # another unit's records under the name of one that the first part has
        shutil.copy(Path(whole.path) / kind / "000001.parquet", parts[1] / kind / "000000.parquet")
    with pytest.raises(MutascopeError, match=r"unit 000000 of .* has other records"):
        merge(list(map(ScreenFolder, parts)), ScreenFolder(tmp_path / "out"))


@pytest.fixture(scope="module")
def guesses(screen, tmp_path_factory) -> tuple[Prediction, list[Path], Path]:
    """A prediction, two parts of it that ran apart, and the whole."""
    folder = tmp_path_factory.mktemp("guesses")
    job = Prediction(screen.spec.model, TALE, Design(kinds=("v", "down")), tile=8, sample=8)
    for number in (1, 2):
        job.run(folder / f"part{number}", quiet=True, shard=Shard(number, 2))
    job.run(folder / "whole", quiet=True)
    return job, [folder / "part1", folder / "part2"], folder / "whole"


def test_parts_of_a_prediction_make_it_whole(guesses, tmp_path, cli):
    job, parts, whole = guesses
    out = tmp_path / "out"
    result = cli("merge", *parts, "--out", out)
    assert (result.code, result.err) == (0, "")
    loci = len(ScreenFolder(whole).predicted_loci())
    assert f"holds all units and predictions of {loci} loci: run the command of its parts" in result.out
    job.run(out, quiet=True)
    assert ScreenData(out).records().equals(ScreenData(whole).records())
    assert ScreenData(out).predictions().equals(ScreenData(whole).predictions())
    assert cli("verify", out).code == 0


def test_parts_that_were_calibrated_apart_are_calibrated_anew(guesses, tmp_path):
    job, parts, whole = guesses
    merge([ScreenFolder(whole), ScreenFolder(parts[0])], ScreenFolder(tmp_path / "out"))
    data = ScreenData(tmp_path / "out")
    assert data.predictions()["probability"].null_count() == len(data.predictions())
    assert data.manifest.predictions is not None
    assert data.manifest.predictions.calibration is None
    assert job.run(tmp_path / "out", quiet=True).predictions().equals(ScreenData(whole).predictions())


def changed(of: Path, to: Path, name: str, **columns: pl.Expr) -> ScreenFolder:
    """Return a copy of a folder in which a table has other columns."""
    folder = ScreenFolder(shutil.copytree(of, to))
    table = pl.read_parquet(to / name).with_columns(**columns)
    folder.files.write_table(name, table)
    return folder


@pytest.mark.parametrize(
    "name, columns, words",
    [
        ("predictions/1.v.parquet", {"margin": pl.col("margin") + 1}, "predicts other calls of 1.v"),
        ("mutants.parquet", {"row": 5 - pl.col("row")}, "lists other mutants"),
    ],
)
def test_predictions_that_disagree_are_refused(guesses, tmp_path, name, columns, words):
    whole = guesses[2]
    other = changed(whole, tmp_path / "other", name, **columns)
    with pytest.raises(MutascopeError, match=words):
        merge([ScreenFolder(whole), other], ScreenFolder(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_predictions_of_other_mutations_are_refused(guesses, tmp_path):
    whole = guesses[2]
    other = ScreenFolder(shutil.copytree(whole, tmp_path / "other"))
    with other.changed_manifest() as manifest:
        assert manifest.predictions is not None
        manifest.predictions.mutations = ["zero"]
    with pytest.raises(MutascopeError, match="predicts other mutations"):
        merge([ScreenFolder(whole), other], ScreenFolder(tmp_path / "out"))


def test_a_damaged_folder_is_not_written_anew(whole, tmp_path, cli):
    part = tmp_path / "part"
    shutil.copytree(whole.path, part)
    shutil.copy(part / "records" / "000001.parquet", part / "records" / "000002.parquet")
    result = cli("compact", part, "--out", tmp_path / "out")
    assert result.code == 2
    assert f"run mutascope repair {part}, then" in result.err
