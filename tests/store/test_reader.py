"""Reading a screen: every file once, as it was when it was opened, and nothing but a path to send to a worker."""

from __future__ import annotations

import pickle
from collections import Counter

import polars as pl
import pytest

import mutascope
from mutascope.store import ScreenFolder
from mutascope.store.files import Files
from stores import records_of, write_predictions, write_screen

RECORDS = records_of({(0, "v"): "+-.\n#+."})


@pytest.fixture
def folder(tmp_path):
    return write_screen(tmp_path / "screen", RECORDS)


@pytest.fixture
def read(monkeypatch) -> Counter[str]:
    """How often a file was read, by its name."""
    counts: Counter[str] = Counter()

    def counting(method):
        def counted(self, file, *arguments):
            counts[file] += 1
            return method(self, file, *arguments)

        return counted

    for name in ("read", "read_table", "count_rows"):
        monkeypatch.setattr(Files, name, counting(getattr(Files, name)))
    return counts


def test_a_verb_reads_every_file_once(cli, folder, read):
    assert cli("status", folder).code == 0
    assert cli("export", folder, "--out", folder.parent / "t.csv").code == 0
    assert read == {"manifest.json": 2, "records/000000.parquet": 2, "phenotypes/000000.parquet": 1}


def test_counting_reads_a_footer(folder, read):
    data = mutascope.open(folder)
    assert (data.done, data.total, data.finished) == (12, 12, True)
    assert read == {"manifest.json": 1, "records/000000.parquet": 1}
    assert data.records() is data.records()
    assert data.done == 12
    assert read == {"manifest.json": 1, "records/000000.parquet": 2}  # the footer, then the shard


def test_what_is_added_is_seen_after_a_refresh(folder):
    data = mutascope.open(folder)
    store = ScreenFolder(folder)
    store.files.remove("records/000000.parquet")
    write_screen(folder, RECORDS.head(4))
    assert data.total == 12
    data.refresh()
    assert (data.done, data.total) == (4, 4)
    assert len(data.records()) == 4


def test_units_that_finish_meanwhile_are_left_out_of_every_table(folder):
    data = mutascope.open(folder)
    store = ScreenFolder(folder)
    for kind in ("records", "phenotypes"):
        store.files.write(f"{kind}/000001.parquet", store.files.read(f"{kind}/000000.parquet"))
    assert data.done == len(data.records()) == 12
    data.refresh()
    assert data.done == len(data.records()) == 24


def test_a_pickle_is_a_path(folder):
    data = mutascope.open(folder)
    empty = len(pickle.dumps(data))
    assert data.texts().height == 12
    assert len(pickle.dumps(data)) == empty < 300
    again = pickle.loads(pickle.dumps(data))
    assert again.records().equals(data.records())
    assert again.manifest == data.manifest


def test_many_screens_have_the_names_that_they_are_given(folder, tmp_path):
    write_screen(tmp_path / "other", RECORDS)
    screens = mutascope.open_many([f"mine={folder}", tmp_path / "other"])
    assert list(screens.results) == ["mine", "other"]
    assert screens.records["mine"].equals(screens.results["other"].records())


def test_predictions_of_a_locus_and_of_all(folder):
    write_predictions(folder, RECORDS)
    data = mutascope.open(folder)
    assert data.predicted
    assert data.predictions().equals(data.predictions("0.v"))
    assert data.predictions() is data.predictions()


def test_predictions_that_lack_silence_are_read(folder):
    write_predictions(folder, RECORDS)
    path = folder / "predictions" / "0.v.parquet"
    known = pl.read_parquet(path)
    known.drop("silence").write_parquet(path)
    assert (
        ScreenFolder(folder).predictions("0.v").equals(known.with_columns(silence=pl.lit(None, pl.Float32)))
    )
