"""A screen that is interrupted at random lines of its code ends with its sentence, and goes on to the same records."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import mutascope
from builders import tiny_model
from mutascope import ScreenData
from processes import Process, run_command, start_command, start_function

HOME = str(Path(mutascope.__file__).parent)
JOB = f"{HOME}/run/screen.py"
POINTS = 100
"""How many lines, of some thousand."""
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
Line = tuple[str, int]
"""A file, and the number of a line in it."""


class Tracer:
    """Counts the lines of mutascope that run while a job does, and sends a signal at one of them.

    Args:
        at: the line, and how many times it has run then; None: no signal.
        number: the signal.
    """

    def __init__(self, at: tuple[Line, int] | None, number: int) -> None:
        self.at, self.number, self.ran, self.begun = at, number, Counter[Line](), False

    def call(self, frame: FrameType, event: str, argument: object) -> Any:
        """Trace a function of mutascope."""
        path, name = frame.f_code.co_filename, frame.f_code.co_name
        if path == JOB and name == "run":
            self.begun = True
        return self.line if self.begun and path.startswith(HOME) else None

    def line(self, frame: FrameType, event: str, argument: object) -> Any:
        """Count a line."""
        path, name = frame.f_code.co_filename, frame.f_code.co_name
        if event == "return" and path == JOB and name == "run":
            sys.settrace(None)
            self.begun = False
        elif event == "line" and self.begun and not path.endswith("cli/stopping.py"):
            line = path, frame.f_lineno
            self.ran[line] += 1
            if self.at == (line, self.ran[line]):
                sys.settrace(None)
                signal.raise_signal(self.number)
        return self.line


def run_traced(words: list[str], at: tuple[Line, int] | None, number: int, stderr: str, told: str) -> None:
    """Run ``mutascope screen`` traced, and write the lines that ran to a file."""
    tracer, code = Tracer(at, number), 0
    sys.settrace(tracer.call)
    try:
        run_command(words, stderr)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    finally:
        sys.settrace(None)
    Path(told).write_text(json.dumps([[*line, times] for line, times in tracer.ran.items()]))
    os._exit(code)


def times_run(told: Path, path: str, line: int) -> int:
    """Return how many times a traced run was at a line."""
    return sum(times for *place, times in json.loads(told.read_text()) if place == [path, line])


@pytest.fixture(scope="module", params=["reference", "fast"])
def words(request, tmp_path_factory) -> list[str]:
    """The options of a screen of 20 mutants."""
    folder = tmp_path_factory.mktemp("interrupts")
    model = tiny_model(folder / "model", "llama", num_hidden_layers=1)
    (folder / "tale.yaml").write_text("prompt: 'Once upon a time:'\nmax_new_tokens: 3\ntemperature: 0.7\n")
    options = {
        "model": model,
        "assay": folder / "tale.yaml",
        "tile": 8,
        "sample": 10,
        "engine": request.param,
    }
    return ["screen", *(str(word) for key, value in options.items() for word in (f"--{key}", value))]


@pytest.mark.slow
@pytest.mark.parametrize("number", CODES, ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupt_at_any_line_ends_with_a_sentence_and_loses_nothing(words, tmp_path, number):
    def start(place: str, at: tuple[Line, int] | None) -> Process:
        out, stderr, told = (str(tmp_path / f"{place}{suffix}") for suffix in ("", ".stderr", ".json"))
        return start_function(run_traced, [*words, "--out", out], at, number, stderr, told)

    assert start("whole", None).wait() == 0
    whole = ScreenData(tmp_path / "whole").records()
    lines = json.loads((tmp_path / "whole.json").read_text())
    assert len(lines) > 1000
    draw = random.Random(3)
    for point in range(POINTS):
        path, line, times = draw.choice(lines)
        at = (path, line), draw.randint(1, times)
        out, stderr = tmp_path / str(point), tmp_path / f"{point}.stderr"
        code, said = start(str(point), at).wait(), stderr.read_text()
        if code == 0:
            assert times_run(tmp_path / f"{point}.json", path, line) < at[1], (at, said)
            continue
        assert code == CODES[number], (at, said)
        assert "Traceback" not in said, (at, said)
        assert said.splitlines()[-1].startswith("mutascope: "), (at, said)
        if point % 10 == 0:
            assert start_command(*words, "--out", out, stderr=stderr).wait() == 0
            assert ScreenData(out).records().equals(whole)
