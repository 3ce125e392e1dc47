"""Write a screen in the format of the authors' scripts (docs/reference/authors.md)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from mutascope.core.errors import MutascopeError
from mutascope.core.schema import LOCUS_KEY
from mutascope.interop.authors.codec import (
    NON_FINITE_TEXT,
    SEPARATOR,
    Answers,
    escape_answers,
    escape_text,
    matrix_name,
    unescape_answers,
    unescape_text,
)
from mutascope.store.reader import ScreenData

_TALLY = ("score", "kept", "gained")
_LOOKS_LIKE_AN_END = re.compile(rf"(?:^|\n){SEPARATOR}\n[^\s:]+:\d+\n")


@dataclass(frozen=True)
class Exported:
    """What of a screen does not come back when its files are read.

    Attributes:
        changed: texts that come out differently: they hold characters that the format uses itself.
        lost: loci whose sites are not the first ones by columns, so that no file can say which of them were run.
    """

    changed: int
    lost: tuple[str, ...]


def export_authors(results: ScreenData, out: Path) -> Exported:
    """Write a screen as log, code, finished and done files, labels by the value that was written.

    Args:
        results: the screen, of a text assay with one prompt or of a choice assay.
        out: folder to write, which must not exist or be empty.

    Raises:
        MutascopeError: for a screen that the format cannot hold, or a folder that is in use or cannot be written.
    """
    records, texts = results.records(), _texts(results)
    asked = _asked(results)
    standard, changed = _standard(results, records, asked), 0
    _check_end(standard, "the wild type")
    written: dict[tuple[str, int | None], str] = {}
    for row in texts.iter_rows(named=True):
        raw, lossless = _written(row, asked, choice="score" in records.columns)
        _check_end(raw, f"phenotype {row['phenotype']}")
        written[row["phenotype"], row["score"]] = raw
        changed += not lossless
    preamble = f"seed:{results.manifest.assay.seed} step: {results.manifest.tile}\nstandard output:\n"
    files, lost = _files(results, records, f"{preamble}{standard}\n{SEPARATOR}\n", written)
    _write(out, files)
    return Exported(changed, lost)


def _check_end(raw: str, what: str) -> None:
    if _LOOKS_LIKE_AN_END.search(f"{raw}\n"):
        raise MutascopeError(
            f"{what} holds a line {SEPARATOR} and after it one that ends in a colon and a number, which in this format"
            " ends a text"
        )


def _texts(results: ScreenData) -> pl.DataFrame:
    """Return the texts of the NSMs: phenotype, text, and score, kept, gained (null in a text assay)."""
    records, phenotypes = results.records(), results.phenotypes().select("phenotype", "text")
    if "score" not in records.columns and results.manifest.assay.type == "panel":
        raise MutascopeError(
            f"{results.folder.path} is a panel of prompts: the authors' format holds text assays of one prompt and"
            " choice assays"
        )
    missing = [pl.lit(None, pl.Int16).alias(name) for name in _TALLY if name not in records.columns]
    shown = records.with_columns(missing).filter(~pl.col("silent")).select("phenotype", *_TALLY)
    texts = shown.unique(["phenotype", "score"], keep="first", maintain_order=True).join(
        phenotypes, on="phenotype", how="left", maintain_order="left"
    )
    keys = [prompt.key for prompt in results.manifest.prompts]
    if "score" not in records.columns or not keys:
        return texts
    wild = _wild_answers(results)
    counted = [
        _tally(text.split("\n"), keys, wild) if text is not None else (None, None) for text in texts["text"]
    ]
    split = pl.DataFrame(counted, schema={"kept": pl.Int16, "gained": pl.Int16}, orient="row")
    return texts.with_columns(split)


def _tally(answers: Sequence[str], keys: Sequence[str | None], wild: Sequence[str]) -> tuple[int, int]:
    """Right answers to the questions that the wild type answers right, and to the others."""
    rows = [(said == key, was == key) for said, key, was in zip(answers, keys, wild, strict=True)]
    return sum(right and before for right, before in rows), sum(
        right and not before for right, before in rows
    )


def _wild_answers(results: ScreenData) -> list[str]:
    return [answer.continuation.strip() for answer in results.manifest.wild_type]


def _asked(results: ScreenData) -> tuple[int, int] | None:
    """Numbers of questions that the wild type answers right and wrong, where they are known."""
    wild, keys = _wild_answers(results), [prompt.key for prompt in results.manifest.prompts]
    if results.manifest.assay.type != "choice":
        return None
    if keys:
        right = _tally(wild, keys, wild)[0]
    else:
        known = results.records().filter("silent")
        if "kept" not in known.columns or known.is_empty() or known["kept"][0] is None:
            return None
        right = known["kept"][0]
    return right, len(wild) - right


def _standard(results: ScreenData, records: pl.DataFrame, asked: tuple[int, int] | None) -> str:
    """Return the standard output as it is written."""
    if "score" not in records.columns:
        return escape_text(results.manifest.wild_type[0].text)
    scores = records.filter("silent")["score"]
    kept, gained = (asked[0], 0) if asked else (None, None)
    found = Answers(tuple(_wild_answers(results)), scores[0] if len(scores) else None, kept, gained)
    return escape_answers(found, asked)


def _written(row: Mapping[str, Any], asked: tuple[int, int] | None, *, choice: bool) -> tuple[str, bool]:
    """Return a text as it is written, and whether it is read as it was."""
    text = row["text"]
    if not choice:
        raw = NON_FINITE_TEXT if text is None else escape_text(text)
        return raw, text is None or unescape_text(raw) == text
    said = (NON_FINITE_TEXT,) if text is None else tuple(text.split("\n"))
    raw = escape_answers(Answers(said, *(row[name] for name in _TALLY)), asked)
    return raw, text is None or unescape_answers(raw).text == text


def _files(
    results: ScreenData, records: pl.DataFrame, opening: str, written: Mapping[tuple[str, int | None], str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the content of every file by name, and the loci that the format cannot describe."""
    experiment = re.sub(r"[^\w.-]+", "-", results.manifest.assay.name)
    groups = dict(records.group_by(LOCUS_KEY, maintain_order=True))
    tile = results.manifest.tile
    files, done, lost = {}, [], []
    for locus in results.loci.iter_rows(named=True):
        layer, kind = locus["layer"], locus["kind"]
        name = matrix_name(layer, kind)
        screened = groups.get((layer, kind), records.clear())
        log, codes = _locus_files(screened, name, tile, written)
        files[f"{experiment}_{name}_log.txt"] = log
        files[f"{experiment}_{name}_code.txt"] = opening + codes
        sites = _sites_run(screened, locus["site_rows"], results.manifest.design.mutations)
        if not sites:
            lost += [f"{layer}.{kind}"] if len(screened) else []
            continue
        col, row = divmod(sites - 1, locus["site_rows"])
        files[f"{experiment}_{name}_finished.txt"] = f"{row * tile},{col * tile}"
        if sites == locus["site_rows"] * locus["site_cols"]:
            done.append(name)
    files[f"{experiment}_done.txt"] = "".join(f"{name}\n" for name in done)
    return files, tuple(lost)


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


def _sites_run(screened: pl.DataFrame, site_rows: int, mutations: Sequence[str]) -> int | None:
    """The number of sites with all mutations, where these are the first ones by columns."""
    place = pl.col("col") * site_rows + pl.col("row")
    sites = screened.group_by(place=place).agg(mutants=pl.len())
    first = sorted(sites["place"].to_list()) == list(range(len(sites)))
    return len(sites) if first and (sites["mutants"] == len(mutations)).all() else None


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
