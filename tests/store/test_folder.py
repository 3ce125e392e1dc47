"""The screen folder: one-step writes, units, readers that see all of a unit or nothing."""

import errno
import json
import os
import random
import resource
import signal
import time

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mutascope import MutascopeError
from mutascope.core.manifest import Controls, Manifest
from mutascope.core.schema import FORMAT_VERSION, PREDICTION_SCHEMA, RECORD_SCHEMA
from mutascope.store import ScreenFolder, Shard
from mutascope.store.files import DamagedError, Files
from mutascope.store.shards import sharing
from processes import start_function

MANIFEST = {
    "format_version": FORMAT_VERSION,
    "model": dict.fromkeys(("name", "architecture", "dtype", "fingerprint", "tokenizer"), "é"),
    "assay": {"name": "say", "type": "text", "prompt": "Say:"},
    "generation": {"top_k": 50},
    "prompts": [{"text": "Say:", "tokens": [1]}],
    "design": {"type": "full", "mutations": ["max"], "sha256": "0" * 64},
    "tile": 8,
    "engine": "fast",
    "loci": [],
    "units": {"mutants": 3, "size": 3},
    "wild_type": [{"phenotype": "0" * 32, "text": "Say: fly", "continuation": " fly", "tokens": [2]}],
    "libraries": {},
}


def shard_of(number: int, rows: int = 3) -> Shard:
    phenotypes = [f"{number:04d}{row:028d}" for row in range(rows)]
    records = {
        "layer": [0] * rows,
        "kind": ["q"] * rows,
        "row": [number] * rows,
        "col": list(range(rows)),
        "mutation": ["max"] * rows,
        "silent": [False] * rows,
        "first_divergence": [None, *range(1, rows)],
        "phenotype": phenotypes,
    }
    texts = {"phenotype": phenotypes, "text": [f"{p} " * 5 for p in phenotypes], "continuation": phenotypes}
    return Shard(pl.DataFrame(records, schema=RECORD_SCHEMA), pl.DataFrame(texts))


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path) -> ScreenFolder:
    return ScreenFolder(
        tmp_path / "screen" if request.param == "local" else f"memory://{tmp_path.name}/screen"
    )


def test_a_screen_that_another_process_begins_between_two_looks_is_no_obstacle(folder):
    folder.check_free()
    folder.begin(Manifest.model_validate(MANIFEST))
    folder.check_free()


def test_units_come_back_in_order_whatever_order_they_were_written_in(folder):
    assert folder.records().schema == RECORD_SCHEMA
    assert folder.records().is_empty()
    for number in (2, 0, 1_000_000, 999_999, 1):
        folder.write_unit(f"{number:06d}", shard_of(number))
    records = folder.records()
    assert records["row"].unique(maintain_order=True).to_list() == [0, 1, 2, 999_999, 1_000_000]
    assert records.schema == RECORD_SCHEMA
    assert records["first_divergence"].to_list()[:3] == [None, 1, 2]
    assert len(folder.phenotypes()) == 15


def test_a_phenotype_of_several_units_is_read_once(folder):
    folder.write_unit("000000", shard_of(5))
    folder.write_unit("000001", shard_of(5))
    assert len(folder.records()) == 6
    assert len(folder.phenotypes()) == 3


def test_equal_phenotypes_of_a_unit_are_one_string_in_memory():
    texts = ["0123456789abcdef" * 2, "fedcba9876543210" * 2]
    frame = pl.DataFrame({"phenotype": [texts[0], texts[1], None, texts[0]] * 100, "row": range(400)})
    shared = sharing(frame)
    assert shared.equals(frame)
    assert shared["phenotype"].to_arrow(compat_level=pl.CompatLevel.newest()).buffers()[2].size < 100


def test_texts_without_records_are_of_an_unfinished_unit(folder):
    folder.write_unit("000000", shard_of(0))
    folder.write_unit("000001", shard_of(1))
    folder.files.remove("records/000001.parquet")
    assert folder.finished_units() == {"000000"}
    assert len(folder.phenotypes()) == 3
    folder.check_units(folder.finished_units(), {"000000": 3, "000001": 3})


def test_a_manifest_is_replaced_in_one_step(folder):
    assert not folder.exists()
    with pytest.raises(MutascopeError, match="it has no manifest"):
        folder.manifest()
    manifest = Manifest.model_validate(MANIFEST)
    folder.write_manifest(manifest)
    manifest.controls = Controls(weights_restored=True)
    folder.write_manifest(manifest)
    assert folder.exists()
    assert folder.manifest() == manifest
    with pytest.raises(ValueError, match="JSON"):
        folder.write_manifest(manifest.model_copy(update={"generation": {"number": float("nan")}}))
    assert folder.manifest().controls == Controls(weights_restored=True)


def test_predictions_that_are_replaced_are_right_at_every_moment(tmp_path, monkeypatch):
    folder, seen = ScreenFolder(tmp_path), []
    table = pl.DataFrame({name: [None] for name in PREDICTION_SCHEMA}, schema=PREDICTION_SCHEMA)
    write = Files.write

    def watched(self: Files, name: str, content: bytes) -> None:
        write(self, name, content)
        if folder.is_predicted("1.v"):
            seen.append(folder.wrong_checksums("1.v"))

    monkeypatch.setattr(Files, "write", watched)
    for risk in (0.25, 0.5, 0.75):
        folder.write_predictions("1.v", table.with_columns(risk=pl.lit(risk, pl.Float32)))
    assert seen == [[]] * 7
    assert (tmp_path / "checksums/1.v.sha256").read_text().count("predictions/1.v.parquet") == 1


def test_shards_are_plain_parquet_that_says_its_format_version(tmp_path):
    ScreenFolder(tmp_path).write_unit("000000", shard_of(0))
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert files == ["checksums/000000.sha256", "phenotypes/000000.parquet", "records/000000.parquet"]
    for name in files[1:]:
        assert pq.read_schema(tmp_path / name).metadata == {
            b"mutascope.format_version": str(FORMAT_VERSION).encode()
        }
    types = {field.name: str(field.type) for field in pq.read_schema(tmp_path / "records/000000.parquet")}
    assert types == {
        "layer": "int16",
        "kind": "large_string",
        "row": "int32",
        "col": "int32",
        "mutation": "large_string",
        "silent": "bool",
        "first_divergence": "int32",
        "phenotype": "large_string",
    }


def test_a_new_screen_needs_a_free_place(tmp_path):
    ScreenFolder(tmp_path / "new" / "deep").check_free()
    assert not (tmp_path / "new").exists()
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".DS_Store").write_text("")
    ScreenFolder(tmp_path / "empty").check_free()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes").write_text("")
    (tmp_path / "file").write_text("")
    for name in ("full", "file"):
        with pytest.raises(MutascopeError, match="is not a screen folder"):
            ScreenFolder(tmp_path / name).check_free()
    with pytest.raises(MutascopeError, match="not writable"):
        ScreenFolder(tmp_path / "file" / "screen").check_free()


def test_a_url_with_one_slash_is_no_folder():
    with pytest.raises(MutascopeError, match="begins like s3://"):
        ScreenFolder("s3:/bucket/screen")


def test_an_unknown_scheme_is_one_sentence():
    with pytest.raises(MutascopeError, match="warp://x cannot be opened"):
        ScreenFolder("warp://x")


# faults


def write_forever(path: str) -> None:
    """Write units as fast as it goes, each with enough rows that a kill often hits the middle of a file."""
    folder = ScreenFolder(path)
    first = len(folder.finished_units())
    for number in range(first, 100_000):
        folder.write_unit(f"{number:06d}", shard_of(number, rows=2000))


def test_a_kill_in_the_middle_of_writing_leaves_whole_units(tmp_path):
    draw = random.Random(3)
    folder = ScreenFolder(tmp_path)
    kills = hit = 0
    while kills < 8 or (hit < 2 and kills < 80):
        kills += 1
        before = len(folder.finished_units())
        process = start_function(write_forever, str(tmp_path))
        process.wait_until(lambda before=before: len(folder.finished_units()) > before)
        time.sleep(draw.uniform(0, 0.03))
        process.kill()
        units = folder.finished_units()
        assert units == {f"{number:06d}" for number in range(len(units))}
        folder.check_units(units, dict.fromkeys(units, 2000))
        scratch = [path for path in tmp_path.rglob(".*") if path.is_file()]
        texts = {path.stem for path in (tmp_path / "phenotypes").glob("[0-9]*.parquet")}
        hit += bool(scratch) or texts != units
        for path in scratch:
            path.unlink()
    assert hit >= 2  # some kills did come between the steps of a unit
    records = folder.records()
    assert records["row"].unique().sort().to_list() == list(range(len(folder.finished_units())))


def write_on_a_full_disk(path: str, report: str) -> None:
    """Files may not grow beyond 20 kB, as if the disk were full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        ScreenFolder(path).write_unit("000001", shard_of(1, rows=20_000))
    except MutascopeError as error:
        with open(report, "w") as file:
            file.write(str(error))


def test_a_full_disk_is_one_sentence_and_leaves_the_rest_readable(tmp_path):
    folder = ScreenFolder(tmp_path / "screen")
    folder.write_unit("000000", shard_of(0))
    assert (
        start_function(write_on_a_full_disk, str(tmp_path / "screen"), str(tmp_path / "report")).wait() == 0
    )
    message = (tmp_path / "report").read_text()
    assert message.endswith(f"000001.parquet cannot be written: {os.strerror(errno.EFBIG)}")
    assert folder.finished_units() == {"000000"}
    assert len(folder.records()) == 3


def test_a_table_with_two_columns_of_one_name_is_damaged(tmp_path):
    pq.write_table(pa.table([[1, 2], [3, 4]], names=["a", "a"]), tmp_path / "t.parquet")
    with pytest.raises(DamagedError, match="two columns of one name"):
        Files(str(tmp_path)).read_table("t.parquet", {"a": pl.Int64})


def test_scratch_files_are_not_read(tmp_path):
    folder = ScreenFolder(tmp_path)
    folder.write_unit("000000", shard_of(0))
    for name in (".000001.parquet.1234", ".000002.parquet", "notes.txt"):
        (tmp_path / "records" / name).write_text("half")
    assert folder.finished_units() == {"000000"}
    assert len(folder.records()) == 3
    assert json.dumps(sorted(folder.finished_units())) == '["000000"]'
