"""What vouches for the records: replays, no-ops, restored weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mutascope.core.manifest import Controls
from mutascope.core.words import counted
from mutascope.findings.blocks import Block, Grid, Prose
from mutascope.findings.finding import Finding, Section
from mutascope.findings.screens import ScreenSet
from mutascope.store.reader import ScreenData

_NAMED = 5
"""Failed controls that are named."""


def _blocks(given: ScreenSet) -> Iterator[Block]:
    """Yield a row of controls per screen. Failures stand at the top of the page (:func:`problems`)."""
    yield Prose(
        "No-op mutants rewrite a tile with its own values and must be silent. Replays run randomly drawn mutants again"
        " on the reference engine and must agree."
    )
    yield Grid(
        ["screen", "state", "engine", "weights restored", "replays that agree", "no-ops that are silent"],
        [[label, *_row(results)] for label, results in given.results.items()],
    )


def problems(given: ScreenSet) -> list[str]:
    """Return a sentence for everything that puts records in doubt."""
    found = []
    for label, results in given.results.items():
        if not results.finished:
            found.append(f"{label}: {_unfinished(results)}")
        found += [f"{label}: {failure}; do not trust these records." for failure in _failures(given, label)]
    return found


def _sentences(given: ScreenSet) -> Iterator[str]:
    for label, results in given.results.items():
        controls = results.manifest.controls
        if controls is None or not results.finished or _failures(given, label):
            continue
        if controls.replayed is None or controls.noops is None:
            yield f"The weights of {label} were restored after the last mutant."
        else:
            yield (
                f"The controls of {label} passed: {counted(controls.replayed, 'replay')} on the reference engine,"
                f" {counted(controls.noops, 'no-op')}, restored weights."
            )


def _failures(given: ScreenSet, label: str) -> list[str]:
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


def _unfinished(results: ScreenData) -> str:
    imported = results.manifest.imported
    if imported:
        partly = counted(len(imported.incomplete), "locus", "loci")
        left_out = f"{len(imported.left_out):,} left out"
        return f"imported from files of a screen that was not finished: {partly} in part, {left_out}."
    return f"not finished: {results.done:,} of {results.total:,} mutants are stored, and no interval can be given."


def _row(results: ScreenData) -> list[str]:
    controls = results.manifest.controls
    engine = (controls and controls.engine) or results.manifest.engine
    restored = {True: "yes", False: "NO", None: "not checked"}[controls and controls.weights_restored]
    state = results.summary()["state"]
    if controls is None or controls.replayed is None or controls.noops is None:
        nothing = "not needed: it is the reference" if engine == "reference" else "none"
        return [state, engine, restored, nothing, nothing]
    return [
        state,
        engine,
        restored,
        _passed(controls.replayed, controls.replay_mismatches),
        _passed(controls.noops, controls.noops_not_silent),
    ]


def _passed(number: int, failed: list[Any]) -> str:
    return f"{number - len(failed):,} of {number:,}"


def _few(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (" and others" if len(names) > _NAMED else "")


FINDINGS = (
    Finding(
        "controls",
        "Replays, no-ops and restored weights.",
        section=Section("controls", "Controls", _blocks, _sentences),
    ),
)
