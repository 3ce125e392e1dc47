"""Folders of questions by subject: what is found in them, and an assay that pools all subjects."""

from __future__ import annotations

import csv
import json

import polars as pl
import pytest

from builders import ask_wild_type, choice_model, question_rows
from mutascope import Design, MutascopeError, Screen, Tiling, load_model
from mutascope.assays import load_assay
from mutascope.assays.choice import ResolvedChoice
from mutascope.assays.loading import reopened
from mutascope.assays.questions import load_subjects
from mutascope.engine.fast import FastEngine
from mutascope.store.reader import ScreenData

HEAD = ["question", *"ABCD", "answer"]


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.fixture
def mmlu(tmp_path):
    """The layout of the MMLU release, with files that belong to the system and to nobody."""
    folder = tmp_path / "mmlu"
    for number, subject in enumerate(("world_religions", "anatomy")):
        write(folder / "dev" / f"{subject}_dev.csv", question_rows(3, seed=number))
        write(folder / "test" / f"{subject}_test.csv", question_rows(4 + number, seed=7 + number))
        write(folder / "val" / f"{subject}_val.csv", question_rows(2, seed=number))
    for name in ("test/.DS_Store", "test/._anatomy_test.csv", "README.txt", "test/notes.csv"):
        (folder / name).write_bytes(b"\x00\x05")
    return folder


def resolve(source, model, probe=None, **overrides) -> ResolvedChoice:
    found = load_assay(str(source), **overrides).resolve(model, probe)
    assert isinstance(found, ResolvedChoice)
    return found


def shape(source, shots=2, subject=None):
    return {
        found.subject: (len(found.examples), len(found.asked))
        for found in load_subjects(str(source), subject, shots)
    }


def test_the_release_of_mmlu(mmlu):
    assert shape(mmlu) == {"anatomy": (2, 5), "world_religions": (2, 4)}
    assert shape(mmlu, subject="anatomy") == {"anatomy": (2, 5)}
    found = load_subjects(str(mmlu))[0]
    assert [question.text for question in found.asked] == [row[0] for row in question_rows(5, seed=8)]


def test_a_plain_folder_of_files_in_any_form(tmp_path):
    rows = question_rows(6)
    write(tmp_path / "bare.csv", rows)
    write(tmp_path / "headed.csv", [HEAD, *rows])
    told = [{"question": row[0], "choices": row[1:-1], "answer": row[-1]} for row in rows]
    (tmp_path / "lines.jsonl").write_text("\n".join(map(json.dumps, told)))
    (tmp_path / "listed.json").write_text(json.dumps(told))
    pl.DataFrame(told).write_parquet(tmp_path / "table.parquet")
    assert shape(tmp_path) == dict.fromkeys(("bare", "headed", "lines", "listed", "table"), (2, 4))
    asked = {found.asked for found in load_subjects(str(tmp_path), shots=2)}
    assert len(asked) == 1


def test_examples_beside_the_questions(tmp_path):
    write(tmp_path / "law_test.csv", [HEAD, *question_rows(3)])
    (tmp_path / "law_dev.jsonl").write_text('{"question": "a?", "choices": ["x", "y"], "answer": 1}\n')
    write(tmp_path / "other.csv", question_rows(3))
    assert shape(tmp_path, shots=1) == {"law": (1, 3)}


def test_parts_whose_files_are_called_after_their_subject(tmp_path):
    write(tmp_path / "test" / "law.csv", question_rows(3))
    write(tmp_path / "dev" / "law.csv", question_rows(2, seed=4))
    assert shape(tmp_path) == {"law": (2, 3)}
    found = load_subjects(str(tmp_path))[0]
    assert [question.text for question in found.examples] == [row[0] for row in question_rows(2, seed=4)]


def test_no_examples_are_needed_without_shots(mmlu):
    (mmlu / "dev" / "anatomy_dev.csv").unlink()
    assert shape(mmlu, shots=0) == {"anatomy": (0, 5), "world_religions": (0, 4)}
    with pytest.raises(MutascopeError, match=r"anatomy_dev.csv cannot be read: No such file"):
        load_subjects(str(mmlu))


def test_what_is_refused_says_where(tmp_path, mmlu):
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        MutascopeError, match="empty holds no questions by subject: it must have test/SUBJECT"
    ):
        load_subjects(str(tmp_path / "empty"))
    write(mmlu / "test" / "anatomy_test.csv", [["a?", "x", "y", "z", "w", "F"]])
    with pytest.raises(MutascopeError, match=r"anatomy_test.csv, row 1 has the key 'F', which is outside"):
        load_subjects(str(mmlu))
    (mmlu / "test" / "anatomy_test.csv").write_text("")
    with pytest.raises(MutascopeError, match="subject anatomy, holds no question besides 3 examples"):
        load_subjects(str(mmlu))
    (mmlu / "test" / "anatomy_test.jsonl").write_text("{}")
    with pytest.raises(MutascopeError, match="are of one subject"):
        load_subjects(str(mmlu))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(str(choice_model(tmp_path_factory.mktemp("models") / "choice")))


def test_a_pooled_assay_asks_every_question_of_every_subject(model, mmlu):
    assay = load_assay(str(mmlu), shots=1)
    assert (assay.name, assay.type) == ("mmlu", "choice")
    resolved = resolve(mmlu, model, shots=1)
    assert resolved.subjects == ("anatomy",) * 5 + ("world_religions",) * 4
    assert resolved.numbers == tuple(range(9))
    heads = [prompt.text.partition(".\n\n")[0].partition("about ")[2] for prompt in resolved.prompts]
    assert heads == ["anatomy"] * 5 + ["world religions"] * 4
    assert list(resolved.keys) == [row[-1] for row in (*question_rows(5, seed=8), *question_rows(4, seed=7))]
    assert resolve(mmlu, model, subject="anatomy").subjects == (None,) * 5
    assert set(resolve("general21", model, right="all", wrong="all").subjects) == {None}


def test_numbers_of_questions_are_those_of_a_subject(model, mmlu):
    every = resolve(mmlu, model, shots=1)
    probe = ask_wild_type(model)
    right = [
        model.tokenizer.decode(probe(prompt, every.readout).tokens).strip() == key
        for prompt, key in zip(every.prompts, every.keys, strict=True)
    ]
    wanted = []
    for part in (range(5), range(5, 9)):
        wanted += [n for n in part if right[n]]
        wanted += [n for n in part if not right[n]][:1]
    found = resolve(mmlu, model, probe, shots=1, wrong=1)
    assert list(found.numbers) == wanted
    with pytest.raises(MutascopeError, match=r"of the 5 questions of anatomy of .*mmlu right, and 5 are"):
        resolve(mmlu, model, probe, shots=1, right=5)


@pytest.mark.parametrize("count", ["some", -1, 1.5])
def test_numbers_that_are_none(mmlu, count):
    with pytest.raises(MutascopeError, match="right: must be a number of questions or all, not"):
        load_assay(str(mmlu), right=count)


def test_a_preset_is_no_folder_of_that_name(mmlu, monkeypatch):
    mmlu.rename(mmlu.parent / "mmlu21")
    monkeypatch.chdir(mmlu.parent)
    assert load_assay("mmlu21").name == "mmlu21"
    assert load_assay("mmlu21").model_dump()["subject"] == "international_law"
    assert load_assay("./mmlu21").model_dump()["subject"] is None


@pytest.mark.parametrize("kept", [0, 2**31])
def test_both_engines_store_the_same_and_it_is_reopened(model, mmlu, tmp_path, monkeypatch, kept):
    monkeypatch.setattr("mutascope.engine.wild_type._READINGS", kept)
    assay, design = load_assay(str(mmlu), shots=2), Design(sample=9)
    found = []
    for engine in ("fast", "reference"):
        Screen(model, assay, design, tile=8, engine=engine, batch=4).run(tmp_path / engine, quiet=True)
        found.append(ScreenData(tmp_path / engine))
    for one, other in zip(*((data.records(), data.folder.outputs()) for data in found), strict=True):
        assert one.equals(other)
    manifest = found[0].manifest
    assert [prompt.subject for prompt in manifest.prompts] == ["anatomy"] * 5 + ["world_religions"] * 4
    again = reopened(model, manifest)
    assert again.described_prompts() == assay.resolve(model).described_prompts()
    assert Screen(model, assay, design, tile=8, batch=4).run(tmp_path / "fast", quiet=True).fresh == 0


def test_the_examples_of_a_subject_are_computed_once(model, mmlu, monkeypatch):
    resolved, tiling = resolve(mmlu, model, shots=3), Tiling(8)
    mutants = Design(sample=8).plan(model.genome, tiling).mutants()

    def work() -> int:
        session = FastEngine(model, tiling, 16).prepare(resolved.prompts, resolved.readout)
        before = session.flop
        assert len(list(session.run(mutants))) == len(mutants)
        return session.flop - before

    shared = work()
    monkeypatch.setattr("mutascope.engine.wild_type.runs_alike", lambda texts: [range(len(texts))])
    assert shared < 0.6 * work()
