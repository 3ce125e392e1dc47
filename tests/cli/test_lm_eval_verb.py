"""``mutascope lm-eval``: what is checked before hours of evaluation."""

from __future__ import annotations

import polars as pl
import pytest
from refusals import check_refused

from mutascope.interop.lm_eval import SCORES


@pytest.mark.parametrize(
    "options, says",
    [
        (["t", "--out", "."], ". cannot be written: it must be a file"),
        (["t", "--out", "nowhere/scores.csv"], "nowhere/scores.csv cannot be written"),
        ([" , "], "the tasks ' , ' name none"),
    ],
)
def test_options_are_checked_before_anything_is_loaded(cli, monkeypatch, tmp_path, options, says):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mutascope.run.screen.Screen.reopen", lambda *_, **__: pytest.fail("loaded"))
    check_refused(cli("lm-eval", "screen", *options), says)
    assert not list(tmp_path.iterdir())


def test_blanks_around_tasks_are_no_part_of_them(cli, monkeypatch, folders, tmp_path):
    asked = []
    monkeypatch.setattr("mutascope.run.screen.Screen.reopen", lambda *_, **__: None)
    monkeypatch.setattr(
        "mutascope.interop.lm_eval.score_mutants",
        lambda screen, tasks, *_, **__: asked.extend(tasks) or pl.DataFrame(schema=SCORES),
    )
    done = cli("lm-eval", folders["drosophila"], "arc_easy, boolq,", "--out", tmp_path / "scores.csv")
    assert (done.code, asked) == (0, ["arc_easy", "boolq"]), done.err
