"""``mutascope screen``: run a screen, or finish one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from mutascope.cli import options
from mutascope.core.yamlfile import load_yaml


def screen(
    spec: Annotated[
        Path | None, typer.Argument(help="YAML file with any of the options below as keys")
    ] = None,
    model: options.ModelName = None,
    assay: options.AssayName = None,
    out: Annotated[str | None, typer.Option(help="screen folder or fsspec URL")] = None,
    layers: options.Layers = None,
    kinds: options.Kinds = None,
    rows: Annotated[str | None, typer.Option(help="tile rows, such as 0-8; default all")] = None,
    cols: Annotated[str | None, typer.Option(help="tile columns; default all")] = None,
    tile: options.Tile = None,
    mutations: options.Mutations = None,
    sample: Annotated[
        int | None,
        typer.Option(
            help="number of sites drawn at random; each is screened with every mutation; default all"
        ),
    ] = None,
    sample_seed: options.SampleSeed = None,
    mutants: Annotated[
        str | None, typer.Option(help="CSV or Parquet list of mutants instead of a region")
    ] = None,
    seed: options.Seed = None,
    seeds: options.Seeds = None,
    max_length: options.MaxLength = None,
    questions: options.Questions = None,
    subject: options.Subject = None,
    shots: options.Shots = None,
    right: options.Right = None,
    wrong: options.Wrong = None,
    engine: options.Engine = None,
    batch: options.Batch = None,
    measure: options.Measure = None,
    null_seed: options.NullSeed = None,
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
    """Run a screen into a folder; on a folder that holds part of the same screen, finish it."""
    told = options.given(locals())
    for name in ("shard", "executor", "workers", "address"):
        told.pop(name, None)
    where = str(told.pop("spec", "mutascope screen"))
    keys = {**(load_yaml(spec) if spec is not None else {}), **told}

    from mutascope.cli.stopping import resumable
    from mutascope.explorer.prepared import prepare
    from mutascope.run.executors.choice import choose_executor
    from mutascope.run.screen import Screen
    from mutascope.run.shards import read_shard
    from mutascope.run.spec import ScreenSpec, read_spec

    target = keys.pop("out", None)
    job = Screen.from_spec(read_spec(ScreenSpec, keys, where=where))
    share = None if shard is None else read_shard(shard, os.environ)
    runner = choose_executor(executor or "local", workers, address)
    with resumable(job):
        done = job.run(target, shard=share, executor=runner)
    path = job.home.path
    if done.left:
        typer.echo(f"shard {share} is done: {job.state()}")
        return
    if done.fresh:
        prepare(path)
    else:
        typer.echo(f"{path} is finished: all {done.total:,} mutants are there, nothing to do")
        return
    summary = job.results.summary()
    typer.echo(
        f"finished {path}: {summary['mutants']}, NSMs {summary['NSMs']}, phenotypes {summary['phenotypes']}"
    )
    typer.echo(f"look at it: mutascope status {path}   mutascope map {path} --out sheet.png")
