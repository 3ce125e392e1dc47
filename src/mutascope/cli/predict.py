"""``mutascope predict``: predict every mutant, calibrate with exact calls, run the uncertain ones."""

from __future__ import annotations

import os
import re
from typing import Annotated

import typer

from mutascope.cli import options
from mutascope.core.errors import MutascopeError
from mutascope.core.operators import predictable_mutations


def predict(
    out: Annotated[str, typer.Option(help="folder, new or of a screen of the same model, assay and tile")],
    model: options.ModelName = None,
    assay: options.AssayName = None,
    layers: options.Layers = None,
    kinds: options.Kinds = None,
    tile: options.Tile = None,
    mutations: options.Predictable = None,
    sample: Annotated[
        int | None,
        typer.Option(help="number of sites run exactly, to calibrate; default two per locus, 0: none"),
    ] = None,
    sample_seed: options.SampleSeed = None,
    error: Annotated[
        float | None, typer.Option(help="run mutants until the expected share of wrong calls is below this")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="run mutants for at most this long, such as 90s, 10m or 2h")
    ] = None,
    seed: options.Seed = None,
    max_length: options.MaxLength = None,
    questions: options.Questions = None,
    subject: options.Subject = None,
    shots: options.Shots = None,
    right: options.Right = None,
    wrong: options.Wrong = None,
    engine: options.Engine = None,
    batch: options.Batch = None,
    dtype: options.Dtype = None,
    device: options.Device = None,
    numerics: options.Numerics = None,
    allow_pickle: options.AllowPickle = None,
    trust_remote_code: options.TrustRemoteCode = None,
    shard: options.Shards = None,
    executor: options.Executors = None,
    workers: options.Workers = None,
    address: options.Address = None,
) -> None:
    """Predict every mutant of whole loci from gradients, with a measured error; go on where a run stopped."""
    told = options.given(locals())
    for name in ("out", "error", "budget", "shard", "executor", "workers", "address"):
        told.pop(name, None)
    seconds = None if budget is None else parse_duration(budget)
    if error is not None and not 0 <= error < 1:
        raise MutascopeError(f"--error is a share between 0 and 1, not {error}")

    from mutascope.cli.stopping import resumable
    from mutascope.explorer.prepared import prepare
    from mutascope.run.executors.choice import choose_executor
    from mutascope.run.prediction import Prediction
    from mutascope.run.shards import read_shard
    from mutascope.run.spec import PredictSpec, read_spec

    keys = {"mutations": ",".join(predictable_mutations()), **told}
    job = Prediction.from_spec(read_spec(PredictSpec, keys, where="mutascope predict"))
    share = None if shard is None else read_shard(shard, os.environ)
    runner = choose_executor(executor or "local", workers, address)
    with resumable(job):
        results = job.run(out, error=error, budget=seconds, shard=share, executor=runner)
    if job.finished:
        prepare(out)
    for name, fact in results.summary().items():
        typer.echo(f"{name:>11}  {fact}")
    typer.echo(f"look at it: mutascope map {out} --out sheet.png")


def parse_duration(text: str) -> float:
    """Return the seconds of ``90s``, ``10m``, ``2h`` or a plain number of seconds.

    Raises:
        MutascopeError: when the text has another form.

    >>> parse_duration("10m")
    600.0
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|h|)", text.strip())
    if match is None:
        raise MutascopeError(f"{text!r} is no duration: write 90s, 10m or 2h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]
