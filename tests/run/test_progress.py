"""What is said of a run while hundreds of mutants are underway together."""

from __future__ import annotations

import re
import time

import pytest

from mutascope import Design, Tiling
from mutascope.assays import PanelAssay, TextAssay
from mutascope.engine.fast import FastEngine
from mutascope.engine.reference import ReferenceEngine
from mutascope.run import progress
from mutascope.run.progress import ScreenProgress


def test_time_left_counts_what_is_underway(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    underway = 0.0
    count = ScreenProgress(140, done=20, nsm=5, underway=lambda: underway, quiet=True)
    now[0] += 10
    assert count.line() == "20 of 140 mutants, 25.0 % NSM, 0.00 mutants/s"
    underway = 40.0
    assert count.line() == "20 of 140 mutants, 25.0 % NSM, 4.00 mutants/s, 20 s left"
    for _ in range(20):
        count(silent=True)
    underway = 20.0
    assert count.line() == "40 of 140 mutants, 12.5 % NSM, 4.00 mutants/s, 20 s left"


def test_lines_come_while_no_mutant_ends(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_PLAIN_INTERVAL", 0.05)
    lines: list[str] = []
    with ScreenProgress(10, underway=lambda: 2.5):
        while len(lines) < 4:  # the suite's own patience ends it
            time.sleep(0.05)
            lines += capsys.readouterr().err.splitlines()
    assert all(
        re.fullmatch(r"0 of 10 mutants, 0\.0 % NSM, [\d.]+ mutants/s(, \d+ s left)?", line) for line in lines
    )


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_the_work_underway_is_that_of_mutants_not_yielded(llama, engine):
    tiling = Tiling(8)
    assay = TextAssay(name="t", prompt="abc", max_length=40, temperature=0.8).resolve(llama)
    mutants = Design(sample=20).plan(llama.genome, tiling).mutants()
    runner = FastEngine(llama, tiling, 12) if engine == "fast" else ReferenceEngine(llama, tiling)
    session = runner.prepare(assay.prompts, assay.readout)
    seen = []
    for yielded, _ in enumerate(session.run(mutants), start=1):
        seen.append(session.underway)
        assert 0 <= session.underway <= len(mutants) - yielded
    assert (max(seen) > 1) == (engine == "fast")
    assert seen[-1] == 0


def test_a_panel_is_underway_by_texts(llama, tmp_path):
    (tmp_path / "prompts.txt").write_text("one\ntwo\nthree\n")
    assay = PanelAssay(
        name="p", prompts=str(tmp_path / "prompts.txt"), max_length=30, temperature=0.8, seed=3
    ).resolve(llama)
    mutants = Design(sample=8).plan(llama.genome, Tiling(8)).mutants()
    session = FastEngine(llama, Tiling(8), 5).prepare(assay.prompts, assay.readout)
    left = len(mutants)
    for _ in session.run(mutants):
        left -= 1
        assert 0 <= session.underway <= left
    assert session.underway == left == 0
