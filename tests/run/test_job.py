"""Jobs that are sent to other processes."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest

from builders import choice_model, question_rows, tiny_model
from mutascope import Design, MutascopeError, Prediction, Screen, ScreenData, TextAssay
from mutascope.assays import ChoiceAssay
from mutascope.core.schema import MUTANT_KEY
from mutascope.run.work import Work
from processes import start_function

TALE = TextAssay(name="tale", prompt="Once upon a time:", max_new_tokens=5, temperature=0.7)
DESIGN = Design(kinds=("v", "down"), sample=40)


def choice_assay(folder: Path) -> ChoiceAssay:
    rows = [["question", *"ABCD", "answer"], *question_rows(8)]
    (folder / "q.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    return ChoiceAssay(name="quiz", questions=str(folder / "q.csv"), shots=1, right=0, wrong=2)


def screen(kind: str, folder: Path) -> Screen:
    """A screen of 80 mutants in several units."""
    if kind == "choice":
        model = str(choice_model(folder / "model"))
        return Screen(model, choice_assay(folder), DESIGN, tile=8, engine="reference")
    model = str(tiny_model(folder / "model", "llama"))
    return Screen(model, TALE, DESIGN, tile=8, engine="fast" if kind == "fast" else "reference")


def run_some(pickled: bytes, names: list[str]) -> None:
    """What a worker does."""
    assert pickle.loads(pickled).run_units(names) > 0


def tables(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*.parquet"))}


def manifest(out: Path) -> dict:
    """The manifest without what no two runs have in common."""
    content = json.loads((out / "manifest.json").read_text())
    del content["created"]
    del content["controls"]["seconds_of_last_run"]
    return content


@pytest.mark.parametrize("kind", ["reference", "fast", "choice"])
def test_half_of_the_units_run_in_another_process(tmp_path, kind):
    job = screen(kind, tmp_path)
    job.run(tmp_path / "whole", quiet=True)
    job.open(str(tmp_path / "shared")).prepare()
    names = job.pending()
    assert len(names) >= 2
    sent = pickle.dumps(job)
    assert len(sent) < 20_000
    assert start_function(run_some, sent, names[::2]).wait() == 0
    assert job.pending() == names[1::2]
    assert job.run_units(names) > 0  # the others' are left out
    assert job.pending() == []
    job.finish(seconds_of_last_run=0.0)
    assert tables(tmp_path / "shared") == tables(tmp_path / "whole")
    assert manifest(tmp_path / "shared") == manifest(tmp_path / "whole")
    assert ScreenData(tmp_path / "shared").finished


def test_units_of_a_prediction_run_in_another_process(tmp_path):
    model = str(tiny_model(tmp_path / "model", "llama", std=0.1))
    job = Prediction(model, TALE, Design(kinds=("v",)), tile=8, sample=50)
    whole = job.run(tmp_path / "whole", quiet=True)

    def run_elsewhere(work: Work, names: Sequence[str], *, quiet: bool = False) -> int:
        assert start_function(run_some, pickle.dumps(work), names).wait() == 0
        return len(names)

    again = job.run(tmp_path / "shared", quiet=True, executor=run_elsewhere)
    assert again.records().equals(whole.records())
    assert tables(tmp_path / "shared") == tables(tmp_path / "whole")


def test_a_unit_that_is_stored_is_not_run_again(tmp_path):
    job = screen("reference", tmp_path)
    job.run(tmp_path / "out", quiet=True)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.parquet")}
    assert job.run_units(list(job.units().sizes())) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.parquet")} == before


def test_a_process_with_other_weights_is_refused(tmp_path):
    job = screen("reference", tmp_path)
    job.open(str(tmp_path / "out")).prepare()
    sent = pickle.dumps(job)
    tiny_model(tmp_path / "model", "llama", seed=5)
    with pytest.raises(MutascopeError, match="has other weights now than when"):
        pickle.loads(sent).run_units(job.pending())
    assert not (tmp_path / "out" / "records").exists()


def test_a_job_without_a_folder_says_so():
    with pytest.raises(MutascopeError, match="this screen has not been run yet"):
        Screen("nobody", TALE).pending()
    with pytest.raises(MutascopeError, match="this prediction has not been run yet"):
        Prediction("nobody", TALE).pending()


def test_a_list_of_mutants_is_sent_along(tmp_path):
    mutants = [(0, "q", 0, 1, "max"), (1, "v", 1, 0, "zero")]
    columns = [*MUTANT_KEY]
    pl.DataFrame(mutants, schema=columns, orient="row").write_csv(tmp_path / "list.csv")
    sent = pickle.dumps(Screen("nobody", TALE, Design(mutants=str(tmp_path / "list.csv"))))
    (tmp_path / "list.csv").unlink()
    assert [str(mutant) for mutant in pickle.loads(sent).spec.design.mutants] == [
        "0.q:0,1:max",
        "1.v:1,0:zero",
    ]


def test_a_screen_that_was_asked_before_its_folder_was_known_asks_what_the_folder_asks(tmp_path):
    job = screen("choice", tmp_path)
    job.run(tmp_path / "out", quiet=True)
    asked = cast(Any, job.resolved).numbers
    changed = json.loads((tmp_path / "out" / "manifest.json").read_text())
    other = next(number for number in range(7) if number not in asked)
    wrong = job.spec.assay.model_copy(update={"right": 0, "wrong": 1})
    fresh = Screen(job.model, wrong, DESIGN, tile=8, engine="reference")
    assert len(fresh.resolved.prompts) == 1
    changed["prompts"] = [{**prompt, "question": other} for prompt in changed["prompts"][:1]]
    (tmp_path / "out" / "manifest.json").write_text(json.dumps(changed))
    assert cast(Any, fresh.open(str(tmp_path / "out")).resolved).numbers == (other,)
