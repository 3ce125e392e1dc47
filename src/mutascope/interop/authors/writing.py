"""Write a screen in the format of the authors' scripts (docs/reference/authors.md)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from mutascope.core.errors import MutascopeError
from mutascope.core.schema import LOCUS_KEY
from mutascope.interop.authors.codec import (
    NON_FINITE_TEXT,
    SEPARATOR,
    escape_answers,
    escape_text,
    matrix_name,
    unescape_answers,
    unescape_text,
)
from mutascope.store.reader import ScreenData

_LOOKS_LIKE_AN_END = re.compile(rf"(?:^|\n){SEPARATOR}\n[^\s:]+:\d+\n")


def export_authors(results: ScreenData, out: Path) -> int:
    """Write a screen as log, code and done files, labels by the value that was written. Returns the texts that change.

    Such a text holds characters that the format uses itself, and comes out differently when the files are read.

    Args:
        results: the screen, of a text assay with one prompt or of a choice assay.
        out: folder to write, which must not exist or be empty.

    Raises:
        MutascopeError: for a screen that the format cannot hold, or a folder that is in use or cannot be written.
    """
    records, texts = results.records(), _texts(results)
    standard, changed = _standard(results, records), 0
    _check_end(standard, "the wild type")
    written: dict[tuple[str, int | None], str] = {}
    for row in texts.iter_rows(named=True):
        raw, lossless = _written(row["text"], row["score"], choice="score" in records.columns)
        _check_end(raw, f"phenotype {row['phenotype']}")
        written[row["phenotype"], row["score"]] = raw
        changed += not lossless
    preamble = f"seed:{results.manifest.assay.seed} step: {results.manifest.tile}\nstandard output:\n"
    files = _files(results, records, f"{preamble}{standard}\n{SEPARATOR}\n", written)
    _write(out, files)
    return changed


def _check_end(raw: str, what: str) -> None:
    if _LOOKS_LIKE_AN_END.search(f"{raw}\n"):
        raise MutascopeError(
            f"{what} holds a line {SEPARATOR} and after it one that ends in a colon and a number, which in this format"
            " ends a text"
        )


def _texts(results: ScreenData) -> pl.DataFrame:
    """Return the texts of the NSMs: phenotype, text, score (null in a text assay)."""
    records, phenotypes = results.records(), results.phenotypes()
    if "score" not in records.columns:
        if results.manifest.assay.type == "panel":
            raise MutascopeError(
                f"{results.folder.path} is a panel of prompts: the authors' format holds text assays of one prompt and"
                " choice assays"
            )
        records = records.with_columns(score=pl.lit(None, pl.Int16))
    shown = records.filter(~pl.col("silent")).select("phenotype", "score").unique(maintain_order=True)
    return shown.join(
        phenotypes.select("phenotype", "text"), on="phenotype", how="left", maintain_order="left"
    )


def _standard(results: ScreenData, records: pl.DataFrame) -> str:
    """Return the standard output as it is written."""
    wild_type = results.manifest.wild_type
    if "score" not in records.columns:
        return escape_text(wild_type[0].text)
    scores = records.filter("silent")["score"]
    answers = [answer.continuation.strip() for answer in wild_type]
    return escape_answers(answers, scores[0] if len(scores) else None)


def _written(text: str | None, score: int | None, *, choice: bool) -> tuple[str, bool]:
    """Return a text as it is written, and whether it is read as it was."""
    if not choice:
        raw = NON_FINITE_TEXT if text is None else escape_text(text)
        return raw, text is None or unescape_text(raw) == text
    raw = escape_answers([NON_FINITE_TEXT] if text is None else text.split("\n"), score)
    return raw, text is None or unescape_answers(raw).text == text


def _files(
    results: ScreenData, records: pl.DataFrame, opening: str, written: Mapping[tuple[str, int | None], str]
) -> dict[str, str]:
    """Return the content of every file by name."""
    experiment = re.sub(r"[^\w.-]+", "-", results.manifest.assay.name)
    groups = dict(records.group_by(LOCUS_KEY, maintain_order=True))
    files, done = {}, []
    for locus in results.loci.iter_rows(named=True):
        layer, kind = locus["layer"], locus["kind"]
        name = matrix_name(layer, kind)
        screened = groups.get((layer, kind), records.clear())
        log, codes = _locus_files(screened, name, results.manifest.tile, written)
        files[f"{experiment}_{name}_log.txt"] = log
        files[f"{experiment}_{name}_code.txt"] = opening + codes
        if _is_complete(screened, locus, results.manifest.design.mutations):
            done.append(name)
    files[f"{experiment}_done.txt"] = "".join(f"{name}\n" for name in done)
    return files


def _locus_files(
    screened: pl.DataFrame, name: str, tile: int, written: Mapping[tuple[str, int | None], str]
) -> tuple[str, str]:
    """Return the log and the entries of the code file of a locus. The scripts go through a matrix by columns."""
    columns = ["mutation", "row", "col", "phenotype"]
    if "score" in screened.columns:
        columns.append("score")
    nsms = screened.filter(~pl.col("silent")).sort("col", "row", maintain_order=True).select(columns)
    codes: dict[str, int] = {}
    lines = []
    for mutation, row, col, *shown in nsms.iter_rows():
        raw = written[shown[0], shown[1] if len(shown) > 1 else None]
        code = codes.setdefault(raw, len(codes))
        lines.append(f"{mutation} {name}:{row * tile},{col * tile}:{code}\n")
    entries = (f"{name}:{code}\n{raw}\n{SEPARATOR}\n" for raw, code in codes.items())
    return "".join(lines), "".join(entries)


def _is_complete(screened: pl.DataFrame, locus: Mapping[str, Any], mutations: list[str]) -> bool:
    return len(screened) == locus["site_rows"] * locus["site_cols"] * len(mutations)


def _write(out: Path, files: Mapping[str, str]) -> None:
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise MutascopeError(f"{out} is not an empty folder: choose another --out")
        out.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            with open(out / name, "w", encoding="ascii", newline="") as file:
                file.write(content)
    except OSError as error:
        raise MutascopeError(f"{out} cannot be written: {error.strerror}") from error
