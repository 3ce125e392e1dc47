"""Turn the authors' files into a screen folder (docs/reference/authors.md)."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import polars as pl

from mutascope.analysis.choice import LETTERS
from mutascope.assays.phenotype import content_hash
from mutascope.core.design import Plan
from mutascope.core.errors import MutascopeError
from mutascope.core.genome import Locus, Tiling
from mutascope.core.kinds import kind_rank
from mutascope.core.manifest import (
    AssayInfo,
    DesignInfo,
    ImportedInfo,
    Manifest,
    ModelInfo,
    Platform,
    PromptInfo,
    UnitsInfo,
    WildOutput,
    describe_loci,
)
from mutascope.core.schema import FORMAT_VERSION, LOCUS_KEY, MUTANT_KEY, PHENOTYPE_SCHEMA, RECORD_SCHEMA
from mutascope.interop.authors.codec import NON_FINITE_TEXT, Answers, matrix_locus, matrix_name
from mutascope.interop.authors.reading import AuthorsFiles, Codes, read_codes, read_done, read_logs
from mutascope.run.units import Units
from mutascope.store import ScreenFolder, Shard

UNKNOWN = "unknown"
"""Stands in the manifest for what the authors' files do not say."""

SHAPES = {
    "llama2-7b": {
        **dict.fromkeys("qkvo", (4096, 4096)),
        **dict.fromkeys(("gate", "up"), (11008, 4096)),
        "down": (4096, 11008),
    },
    "zephyr": {
        **dict.fromkeys("qo", (4096, 4096)),
        **dict.fromkeys("kv", (1024, 4096)),
        **dict.fromkeys(("gate", "up"), (14336, 4096)),
        "down": (4096, 14336),
    },
}
"""Elements (rows, columns) of the matrices of the paper's two models, by kind."""

_UNIT_SIZE = 65_536
_SPECIAL_TOKENS = ("<s>", "</s>", "<unk>")
_SWAPPED = {"max": "min", "min": "max"}
_STANDARD = 0


@dataclass(frozen=True)
class Imported:
    """What was imported: numbers of mutants and NSMs, and the loci by whether they are complete."""

    mutants: int
    nsm: int
    complete: tuple[str, ...]
    incomplete: tuple[str, ...]


def import_authors(
    files: AuthorsFiles,
    out: str | os.PathLike[str],
    *,
    model: str,
    shapes: Mapping[str, tuple[int, int]],
    assay: Mapping[str, Any],
    mutations: Sequence[str] = ("max", "min", "zero"),
    choice: bool = False,
    swapped: bool = False,
) -> Imported:
    """Read the files of one experiment and write them as a screen folder. Writes nothing when anything is wrong.

    In a complete locus (one in a done file), a mutant that is not logged is silent; in another one it is unscreened.

    Args:
        files: the files.
        out: folder to write, which must not exist or be empty.
        model: name for the manifest.
        shapes: elements (rows, columns) by kind; ``SHAPES`` has those of the paper's models.
        assay: the assay for the manifest: ``name``, and for a text assay at least ``prompt`` and ``seed``.
        mutations: what the script wrote at every site.
        choice: the texts are the answers of a choice assay.
        swapped: the logs have the largest element under ``min`` and the smallest under ``max``, as those of the
            authors' text assays.

    Raises:
        MutascopeError: for files that cannot be read, contradict each other or do not fit the shapes or the assay.
    """
    folder = ScreenFolder(out)
    if folder.exists():
        raise MutascopeError(f"{out} holds a screen already: choose another --out")
    folder.check_free()
    codes = read_codes(files.codes, choice=choice)
    entries = _entries(codes, assay)
    done = {matrix_locus(name) for name in read_done(files.done)}
    tiling = Tiling(codes.tile)
    log = _located(read_logs(files.logs), tiling.tile, swapped)
    loci = _loci(log, done, shapes)
    _check_mutants(log, loci, tiling, mutations)
    log = _with_entries(log, codes)
    plan, chosen = _plan(log, loci, done, tiling, mutations)
    records = _records(plan, entries, chosen)
    complete = tuple(locus.name for locus in loci if (locus.layer, locus.kind) in done)
    incomplete = tuple(locus.name for locus in loci if locus.name not in complete)
    source = ImportedInfo(
        format="authors", swapped=swapped, complete=list(complete), incomplete=list(incomplete)
    )
    manifest = _manifest(model, plan, tiling, codes, assay, entries, source)
    _write(folder, manifest, records, entries)
    return Imported(len(records), int((~records["silent"]).sum()), complete, incomplete)


def _entries(codes: Codes, assay: Mapping[str, Any]) -> pl.DataFrame:
    """Return the distinct texts of the code files, the standard output first.

    Columns phenotype, text, continuation, score, destructive, the last two null in a text assay.
    """
    if assay.get("seed", codes.seed) != codes.seed:
        raise MutascopeError(
            f"the code files have seed {codes.seed} and assay {assay['name']!r} has seed {assay['seed']}: give the"
            " assay that they are of"
        )
    standard = codes.texts[_STANDARD]
    if isinstance(standard, str) and assay["prompt"] not in standard:
        raise MutascopeError(
            f"the standard output of the code files does not contain the prompt of assay {assay['name']!r}: give the"
            " assay that they are of"
        )
    if isinstance(standard, Answers):
        _check_answers(standard, codes)
    schema = {**PHENOTYPE_SCHEMA, "score": pl.Int16, "destructive": pl.Boolean}
    rows = [_entry(entry, assay) for entry in codes.texts]
    return pl.DataFrame(rows, schema=schema, orient="row")


def _check_answers(standard: Answers, codes: Codes) -> None:
    for (matrix, code), number in codes.numbers.items():
        entry = codes.texts[number]
        if isinstance(entry, Answers) and len(entry.answers) not in (1, len(standard.answers)):
            raise MutascopeError(
                f"code {code} of {matrix} has {len(entry.answers)} answers and the standard output"
                f" {len(standard.answers)}: the files are damaged or of different experiments"
            )


def _entry(
    entry: str | Answers, assay: Mapping[str, Any]
) -> tuple[str, str | None, str | None, int | None, Any]:
    if isinstance(entry, Answers):
        if entry.answers == (NON_FINITE_TEXT,):
            return content_hash(None), None, None, entry.score, True
        destructive = any(answer not in LETTERS for answer in entry.answers)
        return content_hash(entry.text), entry.text, None, entry.score, destructive
    if entry == NON_FINITE_TEXT:
        return content_hash(None), None, None, None, None
    continuation = entry.partition(assay["prompt"])[2]
    for token in _SPECIAL_TOKENS:
        continuation = continuation.replace(token, "")
    return content_hash(entry), entry, continuation, None, None


def _located(log: pl.DataFrame, tile: int, swapped: bool) -> pl.DataFrame:
    """Return the log with layer, kind, row and col in place of the name of the matrix and the elements."""
    off = log.filter((pl.col("loc1") % tile != 0) | (pl.col("loc2") % tile != 0))
    if len(off):
        line = off.row(0, named=True)
        raise MutascopeError(
            f"{line['file']} has a mutant at {line['loc1']},{line['loc2']}, which is no multiple of the step {tile} of"
            " the code files"
        )
    matrices = log.unique("matrix", keep="first").select("matrix", "file")
    rows = []
    for matrix, file in matrices.iter_rows():
        try:
            rows.append((matrix, *matrix_locus(matrix)))
        except MutascopeError as error:
            raise MutascopeError(f"{file}: {error}") from error
    places = pl.DataFrame(
        rows, schema={"matrix": pl.String, "layer": pl.Int16, "kind": pl.String}, orient="row"
    )
    mutation = pl.col("mutation").replace(_SWAPPED if swapped else {})
    return log.join(places, on="matrix", how="left", maintain_order="left").with_columns(
        mutation=mutation, row=pl.col("loc1") // tile, col=pl.col("loc2") // tile
    )


def _loci(
    log: pl.DataFrame, done: set[tuple[int, str]], shapes: Mapping[str, tuple[int, int]]
) -> tuple[Locus, ...]:
    names = {*done, *log.select(*LOCUS_KEY).unique().iter_rows()}
    if not names:
        raise MutascopeError("the files hold no mutant: no matrix is done and nothing is logged")
    loci = []
    for layer, kind in sorted(names, key=lambda name: (name[0], kind_rank(name[1]))):
        if kind not in shapes:
            raise MutascopeError(f"the shape of {layer}.{kind} is unknown: give the elements of kind {kind}")
        loci.append(Locus(layer, kind, *shapes[kind], parameter=matrix_name(layer, kind)))
    return tuple(loci)


def _check_mutants(
    log: pl.DataFrame, loci: Sequence[Locus], tiling: Tiling, mutations: Sequence[str]
) -> None:
    unknown = log.filter(~pl.col("mutation").is_in(list(mutations)))
    if len(unknown):
        line = unknown.row(0, named=True)
        raise MutascopeError(
            f"{line['file']} has a {line['mutation']} mutant, and the mutations are said to be {', '.join(mutations)}"
        )
    grids = [(locus.layer, locus.kind, *tiling.grid(locus)) for locus in loci]
    schema = {"layer": pl.Int16, "kind": pl.String, "site_rows": pl.Int64, "site_cols": pl.Int64}
    table = log.join(pl.DataFrame(grids, schema=schema, orient="row"), on=[*LOCUS_KEY])
    outside = table.filter((pl.col("row") >= pl.col("site_rows")) | (pl.col("col") >= pl.col("site_cols")))
    if len(outside):
        line = outside.row(0, named=True)
        raise MutascopeError(
            f"{line['file']} has a mutant at {line['loc1']},{line['loc2']}, which lies outside"
            f" {line['layer']}.{line['kind']}: give the shapes of the model that was screened"
        )
    twice = log.filter(pl.struct(*MUTANT_KEY).is_duplicated())
    if len(twice):
        line = twice.row(0, named=True)
        raise MutascopeError(
            f"{line['file']} has {line['mutation']} {line['matrix']}:{line['loc1']},{line['loc2']} twice with different"
            " codes"
        )


def _with_entries(log: pl.DataFrame, codes: Codes) -> pl.DataFrame:
    """Return the log with ``entry``, the number of its text among the entries."""
    rows = ((matrix, code, number) for (matrix, code), number in codes.numbers.items())
    schema = {"matrix": pl.String, "code": pl.Int32, "entry": pl.Int64}
    numbered = pl.DataFrame(rows, schema=schema, orient="row")
    joined = log.join(numbered, on=["matrix", "code"], how="left", maintain_order="left")
    missing = joined.filter(pl.col("entry").is_null())
    if len(missing):
        line = missing.row(0, named=True)
        raise MutascopeError(
            f"{line['file']} has code {line['code']} of {line['matrix']}, for which the code files have no text"
        )
    return joined


def _plan(
    log: pl.DataFrame,
    loci: tuple[Locus, ...],
    done: set[tuple[int, str]],
    tiling: Tiling,
    mutations: Sequence[str],
) -> tuple[Plan, np.ndarray]:
    """Return the design and, in its order, the entry of every mutant."""
    numbers = {name: number for number, name in enumerate(mutations)}
    number = pl.col("mutation").replace_strict(numbers, return_dtype=pl.Int32)
    numbered = log.with_columns(number=number).sort("row", "col", "number")
    groups = dict(numbered.group_by(*LOCUS_KEY, maintain_order=True))
    blocks, chosen = [], []
    for index, locus in enumerate(loci):
        logged = groups.get((locus.layer, locus.kind), numbered.clear())
        row, col, mutation, entry = (logged[n].to_numpy() for n in ("row", "col", "number", "entry"))
        grid = (*tiling.grid(locus), len(mutations))
        if (locus.layer, locus.kind) in done:
            entries = np.full(grid, _STANDARD)
            entries[row, col, mutation] = entry
            places, entry = np.indices(grid).reshape(3, -1), entries.ravel()
        else:
            places = np.stack([row, col, mutation])
        blocks.append(np.vstack([np.full(places.shape[1], index), places]).T.astype(np.int32))
        chosen.append(entry)
    population = {locus.name: tiling.sites(locus) for locus in loci} if _is_region(loci, done) else {}
    return Plan(loci, tuple(mutations), np.concatenate(blocks), population), np.concatenate(chosen)


def _is_region(loci: Sequence[Locus], done: set[tuple[int, str]]) -> bool:
    """Whether every locus is complete and the loci are all those of some layers and some kinds."""
    names = {(locus.layer, locus.kind) for locus in loci}
    layers, kinds = {layer for layer, _ in names}, {kind for _, kind in names}
    return names <= done and len(names) == len(layers) * len(kinds)


def _records(plan: Plan, entries: pl.DataFrame, chosen: np.ndarray) -> pl.DataFrame:
    measured = entries[chosen].select("phenotype", "score", "destructive")
    records = plan.frame().with_columns(
        silent=measured["phenotype"] == entries["phenotype"][_STANDARD],
        first_divergence=pl.lit(None, RECORD_SCHEMA["first_divergence"]),
        phenotype=measured["phenotype"],
    )
    if entries["destructive"][_STANDARD] is None:
        return records
    return records.with_columns(measured["score"], measured["destructive"])


def _manifest(
    model: str,
    plan: Plan,
    tiling: Tiling,
    codes: Codes,
    assay: Mapping[str, Any],
    entries: pl.DataFrame,
    source: ImportedInfo,
) -> Manifest:
    """Return what is known of the screen."""
    unknown = dict.fromkeys(("architecture", "dtype", "fingerprint", "tokenizer"), UNKNOWN)
    standard = codes.texts[_STANDARD]
    choice = isinstance(standard, Answers)
    machine = {"python": platform.python_version(), "machine": platform.machine(), "device": UNKNOWN}
    return Manifest(
        format_version=FORMAT_VERSION,
        model=ModelInfo(name=model, **unknown),
        assay=AssayInfo(**{**assay, "seed": codes.seed, "type": "choice" if choice else "text"}),
        generation={},
        prompts=[] if choice else [PromptInfo(text=assay["prompt"], tokens=[])],
        design=_design(plan),
        tile=tiling.tile,
        engine="imported",
        loci=describe_loci(plan, tiling),
        units=UnitsInfo(mutants=len(plan), size=_UNIT_SIZE),
        wild_type=_wild_type(standard, entries),
        libraries={"mutascope": version("mutascope")},
        platform=Platform(**machine),
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        imported=source,
    )


def _design(plan: Plan) -> DesignInfo:
    described = DesignInfo(type="list", mutations=list(plan.mutations), sha256=plan.digest)
    if plan.population:
        described.type = "region"
        described.layers = [*dict.fromkeys(locus.layer for locus in plan.loci)]
        described.kinds = [*dict.fromkeys(locus.kind for locus in plan.loci)]
    return described


def _wild_type(standard: Answers | str | None, entries: pl.DataFrame) -> list[WildOutput]:
    if isinstance(standard, Answers):
        return [
            WildOutput(phenotype=content_hash(answer), text=answer, continuation=answer, tokens=[])
            for answer in standard.answers
        ]
    output = entries.row(_STANDARD, named=True)
    return [WildOutput(**{name: output[name] for name in PHENOTYPE_SCHEMA}, tokens=[])]


def _write(folder: ScreenFolder, manifest: Manifest, records: pl.DataFrame, entries: pl.DataFrame) -> None:
    folder.write_manifest(manifest)
    if manifest.design.type == "list":
        folder.write_mutants(records)
    texts = entries.select(list(PHENOTYPE_SCHEMA)).unique("phenotype", keep="first", maintain_order=True)
    units = Units(len(records), _UNIT_SIZE)
    for unit in units.sizes():
        start, stop = units.span(unit)
        part = records[start:stop]
        folder.write_unit(
            unit, Shard(part, texts.join(part, on="phenotype", how="semi", maintain_order="left"))
        )
