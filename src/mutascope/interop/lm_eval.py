"""Tasks of lm-evaluation-harness as assays: a score per mutant, with the mutated model in memory.

Needs the extra ``lm-eval``. The harness runs at its own speed; nothing of the fast engine applies to it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from mutascope.core.errors import MutascopeError
from mutascope.core.genome import Mutant
from mutascope.core.operators import check_mutations
from mutascope.run.screen import Screen

SCORES = {
    "layer": pl.Int16,
    "kind": pl.String,
    "row": pl.Int32,
    "col": pl.Int32,
    "mutation": pl.String,
    "task": pl.String,
    "metric": pl.String,
    "score": pl.Float64,
}
"""Columns of :func:`score_mutants`; the coordinates of the wild type are null."""


def score_mutants(
    screen: Screen,
    tasks: Sequence[str],
    mutants: Sequence[Mutant],
    *,
    include: str | None = None,
    limit: int | None = None,
    shots: int | None = None,
    batch: int = 8,
) -> pl.DataFrame:
    """Return the scores of the wild type and of mutants in tasks of lm-evaluation-harness.

    Args:
        screen: whose model and tile the mutants are of.
        tasks: names of tasks.
        mutants: which ones; the wild type comes first in any case.
        include: folder with task files of one's own.
        limit: documents per task; by default all.
        shots: solved examples; by default as the task says.
        batch: requests at a time.

    Returns:
        A row per mutant, task and metric, columns ``SCORES``.

    Raises:
        MutascopeError: when the extra is not installed, a mutant or a task does not exist, or the data of a task cannot
            be loaded.
    """
    check_mutations(sorted({mutant.mutation for mutant in mutants}))
    for mutant in mutants:
        screen.model.genome.check_mutant(mutant, screen.tiling)
    harness = _harness()
    manager = harness["TaskManager"](include_path=include)
    unknown = [task for task in tasks if task not in manager.all_tasks]
    if unknown:
        raise MutascopeError(f"lm-evaluation-harness has no task {unknown[0]!r}: see lm_eval ls tasks")
    options = {
        "tasks": [*tasks],
        "task_manager": manager,
        "limit": limit,
        "num_fewshot": shots,
        "bootstrap_iters": 0,
    }

    def evaluated() -> Iterator[tuple[Any, ...]]:
        for mutant in (None, *mutants):
            if mutant is None:
                found = _evaluate(harness, screen.model.network, screen, batch, options)
            else:
                with screen.mutant(mutant) as network:
                    found = _evaluate(harness, network, screen, batch, options)
            place = (None,) * 5 if mutant is None else (mutant.layer, mutant.kind, mutant.row, mutant.col)
            place += () if mutant is None else (mutant.mutation,)
            yield from ((*place, *row) for row in found)

    return pl.DataFrame(list(evaluated()), schema=SCORES, orient="row")


def _evaluate(
    harness: Mapping[str, Any], network: Any, screen: Screen, batch: int, options: Mapping[str, Any]
) -> list[tuple[str, str, float]]:
    """Return task, metric and score of the network as it is now."""
    model = harness["HFLM"](pretrained=network, tokenizer=screen.model.tokenizer, batch_size=batch)
    try:
        results = harness["simple_evaluate"](model=model, **options)["results"]
    except (OSError, ValueError, KeyError) as error:
        told = str(error).partition("\n")[0]
        raise MutascopeError(
            f"lm-evaluation-harness cannot run {', '.join(options['tasks'])}: {told}"
        ) from error
    return [
        (task, metric.removesuffix(",none"), float(value))
        for task, metrics in results.items()
        for metric, value in metrics.items()
        if isinstance(value, (int, float)) and "_stderr" not in metric and "," in metric
    ]


def _harness() -> dict[str, Any]:
    try:
        models = importlib.import_module("lm_eval.models.huggingface")
        tasks, evaluator = (importlib.import_module(f"lm_eval.{name}") for name in ("tasks", "evaluator"))
    except ImportError as error:
        raise MutascopeError(
            f"lm-evaluation-harness is not installed ({error.name} is missing): pip install 'mutascope[lm-eval]'"
        ) from error
    return {
        "HFLM": models.HFLM,
        "TaskManager": tasks.TaskManager,
        "simple_evaluate": evaluator.simple_evaluate,
    }
