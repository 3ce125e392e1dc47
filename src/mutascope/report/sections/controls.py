"""What vouches for the records: replays, no-ops, restored weights. Failures come first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mutascope.core.manifest import Controls
from mutascope.findings.screens import Screens
from mutascope.report.blocks import Alarm, Block, Column, Grid, Prose
from mutascope.report.source import Source
from mutascope.store.reader import Results

_NAMED = 5
"""Failed controls that are named."""


def blocks(source: Source) -> Iterator[Block]:
    """Yield the failures, and a row of controls per screen."""
    for problem in problems(source.given):
        yield Alarm(problem)
    yield Prose(
        "No-op mutants rewrite a tile with its own values and must be silent. Replays run randomly drawn mutants again"
        " on the reference engine and must agree."
    )
    names = (
        "screen",
        "state",
        "engine",
        "weights restored",
        "replays that agree",
        "no-ops that are silent",
    )
    rows = [[label, *_row(results)] for label, results in source.given.results.items()]
    yield Grid("", [Column(name) for name in names], rows)


def problems(given: Screens) -> list[str]:
    """Return a sentence for everything that puts records in doubt."""
    found = []
    for label, results in given.results.items():
        if not results.finished:
            found.append(f"{label}: {_unfinished(results)}")
        found += [f"{label}: {failure}; do not trust these records." for failure in _failures(given, label)]
    return found


def verdict(given: Screens, label: str) -> tuple[str, str]:
    """Return whether the controls of a screen passed, and which they were."""
    results = given.results[label]
    controls = results.manifest.controls
    if _failures(given, label):
        return "failed", "do not trust these records"
    if not results.finished:
        return "incomplete", _unfinished(results)
    if controls is None or controls.replayed is None:
        return "passed", "weights restored"
    return "passed", f"{controls.replayed} replays, {controls.noops} no-ops, weights restored"


def _failures(given: Screens, label: str) -> list[str]:
    """Every sort of control that failed, in words."""
    controls = given.results[label].manifest.controls or Controls(weights_restored=True)
    found = []
    if not controls.weights_restored:
        found.append("the weights were not restored after the last mutant")
    for failed, total, told in (
        (controls.replay_mismatches, controls.replayed, "replays disagree with the reference engine"),
        (controls.noops_not_silent, controls.noops, "no-op controls are not silent"),
    ):
        if failed:
            found.append(f"{len(failed)} of {total} {told} ({_few(failed)})")
    noops = given.records[label].filter(mutation="noop")
    loud = len(noops) - int(noops["silent"].sum())
    if loud:
        found.append(f"{loud} of {len(noops)} no-ops of the design are not silent")
    return found


def _unfinished(results: Results) -> str:
    if results.manifest.imported:
        return "imported from files, without controls."
    return f"not finished: {results.done:,} of {results.total:,} mutants are stored, and no interval can be given."


def _row(results: Results) -> list[str]:
    controls = results.manifest.controls
    engine = (controls and controls.engine) or results.manifest.engine
    restored = {True: "yes", False: "NO", None: "not checked"}[controls and controls.weights_restored]
    if controls is None or controls.replayed is None or controls.noops is None:
        nothing = "not needed: it is the reference" if engine == "reference" else "none"
        return [results.summary()["state"], engine, restored, nothing, nothing]
    return [
        results.summary()["state"],
        engine,
        restored,
        _passed(controls.replayed, controls.replay_mismatches),
        _passed(controls.noops, controls.noops_not_silent),
    ]


def _passed(number: int, failed: list[Any]) -> str:
    return f"{number - len(failed):,} of {number:,}"


def _few(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (" and others" if len(names) > _NAMED else "")
