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
from mutascope.core.genome import Tiling
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
from mutascope.core.schema import FORMAT_VERSION, LOCUS_KEY, PHENOTYPE_SCHEMA, RECORD_SCHEMA
from mutascope.interop.authors.codec import NON_FINITE_TEXT, Answers
from mutascope.interop.authors.placing import (
    Range,
    check_logged,
    check_mutants,
    located,
    ranges,
    with_entries,
    within,
)
from mutascope.interop.authors.reading import (
    AuthorsFiles,
    Codes,
    read_codes,
    read_done,
    read_finished,
    read_logs,
)
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
_STANDARD = 0
_MEASURES = {"score": pl.Int16, "destructive": pl.Boolean, "kept": pl.Int16, "gained": pl.Int16}


@dataclass(frozen=True)
class Imported:
    """What was imported.

    Attributes:
        mutants: their number.
        nsm: of these, NSMs.
        complete: loci of which every site was run.
        incomplete: loci of which the first sites were run, by columns.
        left_out: loci of which it is not known which sites were run; nothing of them is stored.
        dropped: logged mutants of sites that are not known to have been run to the end.
    """

    mutants: int
    nsm: int
    complete: tuple[str, ...]
    incomplete: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    dropped: int = 0


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

    In a complete locus (one in a done file), a mutant that is not logged is silent. In another one this holds up to the
    last site of its finished file; what follows is unscreened, and so is the whole locus without such a file.

    Args:
        files: the files.
        out: folder to write, which must not exist or be empty.
        model: name for the manifest.
        shapes: elements (rows, columns) by kind; ``SHAPES`` has those of the paper's models.
        assay: the assay for the manifest: ``name``, and for a text assay at least ``prompt`` and ``seed``.
        mutations: what the script wrote at every site.
        choice: the texts are the answers of a choice assay.
        swapped: the logs have the largest element under ``min`` and the smallest under ``max``, as those of the
            authors' script for text assays from 2025-01-17 on.

    Raises:
        MutascopeError: for files that cannot be read, contradict each other or do not fit the shapes or the assay.
    """
    folder = ScreenFolder(out)
    if folder.exists():
        raise MutascopeError(f"{out} holds a screen already: choose another --out")
    folder.check_free()
    codes = read_codes(files.codes, choice=choice)
    entries = _entries(codes, assay)
    tiling = Tiling(codes.tile)
    log = located(read_logs(files.logs), tiling.tile, swapped)
    found = ranges(log, read_done(files.done), read_finished(files.finished), shapes, tiling)
    check_mutants(log, found, mutations)
    log = with_entries(log, codes)
    check_logged(log, codes, found)
    run = [each for each in found if each.sites]
    if not run:
        raise MutascopeError(
            "it is not known of any matrix which sites were run: give the done file, or the finished files"
        )
    kept = within(log, run)
    plan, chosen, numbers = _plan(kept, run, tiling, mutations)
    records = _records(plan, entries, chosen, numbers)
    complete, incomplete, left_out = (
        tuple(each.locus.name for each in found if state(each))
        for state in (lambda e: e.complete, lambda e: e.sites and not e.complete, lambda e: not e.sites)
    )
    source = ImportedInfo(
        format="authors",
        swapped=swapped,
        complete=list(complete),
        incomplete=list(incomplete),
        left_out=list(left_out),
    )
    manifest = _manifest(model, plan, tiling, codes, assay, entries, source)
    _write(folder, manifest, records, entries)
    nsm = int((~records["silent"]).sum())
    return Imported(len(records), nsm, complete, incomplete, left_out, len(log) - len(kept))


def _entries(codes: Codes, assay: Mapping[str, Any]) -> pl.DataFrame:
    """Return the distinct texts of the code files, the standard output first.

    Columns phenotype, text, continuation, score, destructive, kept, gained, the last four null in a text assay.
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
    schema = {**PHENOTYPE_SCHEMA, **_MEASURES}
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


def _entry(entry: str | Answers, assay: Mapping[str, Any]) -> tuple[Any, ...]:
    if isinstance(entry, Answers):
        if entry.answers == (NON_FINITE_TEXT,):
            return content_hash(None), None, None, entry.score, True, entry.kept, entry.gained
        destructive = any(answer not in LETTERS for answer in entry.answers)
        text = entry.text
        return content_hash(text), text, None, entry.score, destructive, entry.kept, entry.gained
    if entry == NON_FINITE_TEXT:
        return content_hash(None), *(None,) * 6
    continuation = entry.partition(assay["prompt"])[2]
    for token in _SPECIAL_TOKENS:
        continuation = continuation.replace(token, "")
    return content_hash(entry), entry, continuation, *(None,) * 4


def _plan(
    log: pl.DataFrame, found: Sequence[Range], tiling: Tiling, mutations: Sequence[str]
) -> tuple[Plan, np.ndarray, np.ndarray]:
    """Return the design and, in its order, the entry and the code of every mutant, -1 where it is not logged."""
    numbers = {name: number for number, name in enumerate(mutations)}
    number = pl.col("mutation").replace_strict(numbers, return_dtype=pl.Int32)
    groups = dict(log.with_columns(number=number).group_by(*LOCUS_KEY, maintain_order=True))
    blocks, chosen, logged_codes = [], [], []
    for index, each in enumerate(found):
        logged = groups.get((each.locus.layer, each.locus.kind), log.with_columns(number=number).clear())
        row, col, mutation, entry, code = (
            logged[n].to_numpy() for n in ("row", "col", "number", "entry", "code")
        )
        grid = (each.site_rows, each.site_cols, len(mutations))
        entries, codes = np.full(grid, _STANDARD), np.full(grid, -1)
        entries[row, col, mutation], codes[row, col, mutation] = entry, code
        places = np.indices(grid).reshape(3, -1)
        assert each.sites is not None
        run = places[1] * each.site_rows + places[0] < each.sites
        places = places[:, run]
        blocks.append(np.vstack([np.full(places.shape[1], index), places]).T.astype(np.int32))
        chosen.append(entries.ravel()[run])
        logged_codes.append(codes.ravel()[run])
    loci = tuple(each.locus for each in found)
    population = {locus.name: tiling.sites(locus) for locus in loci} if _is_region(found) else {}
    plan = Plan(loci, tuple(mutations), np.concatenate(blocks), population)
    return plan, np.concatenate(chosen), np.concatenate(logged_codes)


def _is_region(found: Sequence[Range]) -> bool:
    """Whether every locus is complete and the loci are all those of some layers and some kinds."""
    layers, kinds = {each.locus.layer for each in found}, {each.locus.kind for each in found}
    return all(each.complete for each in found) and len(found) == len(layers) * len(kinds)


def _records(plan: Plan, entries: pl.DataFrame, chosen: np.ndarray, codes: np.ndarray) -> pl.DataFrame:
    measured = entries[chosen].select("phenotype", *_MEASURES)
    records = plan.frame().with_columns(
        silent=measured["phenotype"] == entries["phenotype"][_STANDARD],
        first_divergence=pl.lit(None, RECORD_SCHEMA["first_divergence"]),
        phenotype=measured["phenotype"],
        code=pl.Series(codes, dtype=pl.Int32),
    )
    records = records.with_columns(pl.when(pl.col("code") >= 0).then("code"))
    if entries["destructive"][_STANDARD] is None:
        return records
    return records.with_columns(measured.select(list(_MEASURES)))


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
