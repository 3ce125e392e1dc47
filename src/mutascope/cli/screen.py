"""``mutascope screen``: run a screen, or finish one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel, ConfigDict, Field

from mutascope.core.design import Design, parse_indices
from mutascope.core.errors import MutascopeError
from mutascope.core.yamlfile import load_yaml, validate

_ASSAY_KEYS = ("seed", "max_length", "questions", "subject", "shots", "right", "wrong")
"""Keys that replace those of the assay."""


class ScreenSpec(BaseModel):
    """The keys of a SPEC.yaml; command line options replace them."""

    model_config = ConfigDict(extra="forbid")
    model: str = "smollm2-135m"
    assay: str | dict[str, Any] = "drosophila"
    out: str | None = None
    tile: int | str = "auto"
    engine: str = "fast"
    batch: int | None = Field(default=None, ge=1)
    measure: bool = False
    dtype: str = "float32"
    numerics: str = "own"
    layers: int | str | list[int] | None = None
    kinds: str | list[str] | None = None
    rows: int | str | list[int] | None = None
    cols: int | str | list[int] | None = None
    mutations: str | list[str] | None = None
    sample: int | None = None
    sample_seed: int = 0
    mutants: str | None = None
    seed: int | None = None
    max_length: int | None = None
    questions: str | None = None
    subject: str | None = None
    shots: int | None = None
    right: int | None = None
    wrong: int | None = None
    allow_pickle: bool = False
    trust_remote_code: bool = False

    def design(self) -> Design:
        """Return the design that the keys describe."""
        fields = {
            "layers": _indices(self.layers),
            "kinds": _words(self.kinds),
            "rows": _indices(self.rows),
            "cols": _indices(self.cols),
            "mutations": _words(self.mutations),
            "sample": self.sample,
            "sample_seed": self.sample_seed,
            "mutants": self.mutants,
        }
        return validate(Design, fields, where="design")


def screen(
    spec: Annotated[
        Path | None, typer.Argument(help="YAML file with any of the options below as keys")
    ] = None,
    model: Annotated[str | None, typer.Option(help="alias, folder or Hub id; default smollm2-135m")] = None,
    assay: Annotated[str | None, typer.Option(help="preset or YAML file; default drosophila")] = None,
    out: Annotated[str | None, typer.Option(help="screen folder or fsspec URL")] = None,
    layers: Annotated[str | None, typer.Option(help="such as 0,15 or 0-5")] = None,
    kinds: Annotated[str | None, typer.Option(help="such as v,down")] = None,
    rows: Annotated[str | None, typer.Option(help="tile rows, such as 0-8")] = None,
    cols: Annotated[str | None, typer.Option(help="tile columns")] = None,
    tile: Annotated[str | None, typer.Option(help="side of a tile, or auto; default auto")] = None,
    mutations: Annotated[str | None, typer.Option(help="default max,min; also zero,noop,random")] = None,
    sample: Annotated[int | None, typer.Option(help="number of sites drawn at random")] = None,
    sample_seed: Annotated[int | None, typer.Option(help="seed of the draw; default 0")] = None,
    mutants: Annotated[
        str | None, typer.Option(help="CSV or Parquet list of mutants instead of a region")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="replaces the assay's seed")] = None,
    max_length: Annotated[
        int | None, typer.Option(help="replaces the assay's length, prompt included")
    ] = None,
    questions: Annotated[
        str | None, typer.Option(help="of a choice assay: folder, CSV, JSONL, Hub dataset or general")
    ] = None,
    subject: Annotated[str | None, typer.Option(help="of the questions, such as astronomy")] = None,
    shots: Annotated[int | None, typer.Option(help="solved examples before each question; default 5")] = None,
    right: Annotated[int | None, typer.Option(help="questions the wild type gets right; default 14")] = None,
    wrong: Annotated[int | None, typer.Option(help="questions the wild type gets wrong; default 7")] = None,
    engine: Annotated[str | None, typer.Option(help="fast or reference; default fast")] = None,
    batch: Annotated[int | None, typer.Option(help="mutants at a time; default what memory holds")] = None,
    measure: Annotated[
        bool | None, typer.Option("--measure", help="also measure every mutant along the wild type's text")
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="of the weights; default float32")] = None,
    numerics: Annotated[
        str | None, typer.Option(help="own, or stock: torch's kernels, to audit; default own")
    ] = None,
    allow_pickle: Annotated[bool | None, typer.Option("--allow-pickle", help="accept unsafe weights")] = None,
    trust_remote_code: Annotated[
        bool | None, typer.Option("--trust-remote-code", help="run its code")
    ] = None,
) -> None:
    """Run a screen into a folder; on a folder that holds part of the same screen, finish it."""
    options = {key: value for key, value in locals().items() if key != "spec" and value is not None}
    content = load_yaml(spec) if spec is not None else {}
    run_screen(validate(ScreenSpec, {**content, **options}, where=str(spec or "mutascope screen")))


def run_screen(spec: ScreenSpec) -> None:
    """Run the screen of a spec, with progress, and say what to do next."""
    from mutascope.assays import build_assay, load_assay
    from mutascope.core.genome import check_name
    from mutascope.core.operators import check_mutations
    from mutascope.engine import ENGINES, NUMERICS
    from mutascope.model.loading import load_model
    from mutascope.run.screen import Screen, check_tile
    from mutascope.store import ScreenFolder

    design = spec.design()
    check_name("engine", spec.engine, list(ENGINES))
    check_name("numerics", spec.numerics, list(NUMERICS))
    check_mutations(list(design.mutations or ()))
    check_tile(spec.tile)
    changes = {key: getattr(spec, key) for key in _ASSAY_KEYS}
    overrides: dict[str, Any] = {key: value for key, value in changes.items() if value is not None}
    if isinstance(spec.assay, dict):
        assay = build_assay({"name": "custom", **spec.assay, **overrides}, where="assay")
    else:
        assay = load_assay(spec.assay, **overrides)
    if spec.out is not None and not ScreenFolder(spec.out).exists():
        ScreenFolder(spec.out).check_free()
    model = load_model(
        spec.model, dtype=spec.dtype, allow_pickle=spec.allow_pickle, trust_remote_code=spec.trust_remote_code
    )
    job = Screen(
        model,
        assay,
        design,
        tile=spec.tile,
        engine=spec.engine,
        batch=spec.batch,
        measure=spec.measure,
        numerics=spec.numerics,
    )
    try:
        done = job.run(spec.out)
    except KeyboardInterrupt:
        if job.folder is None:
            raise
        stored = len(job.records()) + job.folder.count_parts()
        typer.echo(
            f"stopped: {stored:,} of {len(job.plan):,} mutants are stored in {job.folder.path};"
            " run the same command again to go on",
            err=True,
        )
        raise typer.Exit(130) from None
    path = job.results.folder.path
    if done.fresh == 0:
        typer.echo(f"{path} is finished: all {done.total:,} mutants are there, nothing to do")
        return
    summary = job.results.summary()
    typer.echo(
        f"finished {path}: {summary['mutants']}, NSMs {summary['NSMs']}, phenotypes {summary['phenotypes']}"
    )
    typer.echo(f"look at it: mutascope status {path}   mutascope map {path} --out sheet.png")


def _indices(value: int | str | list[int] | None) -> tuple[int, ...] | None:
    if isinstance(value, int):
        return (value,)
    return parse_indices(value) if isinstance(value, str) or value is None else tuple(value)


def _words(value: str | list[str] | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    words = value.split(",") if isinstance(value, str) else value
    cleaned = tuple(word.strip() for word in words if word.strip())
    if not cleaned:
        raise MutascopeError("an empty list of kinds or mutations selects no mutant")
    return cleaned
