"""``make demo``: every mutant of the default model predicted, calibrated by exact calls; then an exact screen of a part
of a matrix, its maps, one mutant, and the report of all, in the folder ``demo``.

A second run finds the screen finished and only draws again; an interrupted one goes on where it stopped.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import polars as pl
from rich.console import Console
from transformers.utils.logging import disable_progress_bar

from mutascope import Design, Mutant, MutascopeError, Prediction, Screen, ScreenData, word_diff
from mutascope.analysis.diff import diff_to_html, diff_to_rich
from mutascope.analysis.fragile import fragile_tokens
from mutascope.cli.status import status
from mutascope.cli.stopping import resumable
from mutascope.core.schema import LOCUS_KEY, MUTANT_KEY
from mutascope.explorer import write_site
from mutascope.explorer.prepared import prepare
from mutascope.figures import draw_map, draw_sheet, save_figure
from mutascope.findings import ScreenSet
from mutascope.report import write_report

# A part of a matrix that shows every status: 384 mutants.
DESIGN = Design(layers=(15,), kinds=("v",), rows=tuple(range(8, 16)), cols=tuple(range(24, 48)))
TILE = 8
SAMPLED_SITES = 105
"""Of the prediction, run exactly with max, min and zero: 315 mutants."""

_TOKENS = 5
"""Fragile tokens that are named."""

OUT = Path("demo")
PREDICTED = f"predicted-tile{TILE}"
ATLAS = OUT / "atlas"


def main() -> None:
    """Run or finish the screen (each design, tile and engine has its own folder), then show what it found."""
    disable_progress_bar()
    files = predict_all()
    screen = Screen("smollm2-135m", "drosophila", DESIGN, tile=TILE)
    folder = OUT / f"screen-{screen.spec.engine}-tile{TILE}-{screen.plan.digest[:8]}"
    with resumable(screen):
        done = screen.run(folder)
    print(f"{folder} was finished already: nothing to run" if done.fresh == 0 else f"finished {folder}")
    print()
    status(str(folder))
    files += draw_maps(screen.results) + show_tokens(screen.results) + show_mutant(screen.results)
    print("\nThe report:")
    given = ScreenSet([OUT / PREDICTED, folder])
    write_report(
        given,
        OUT / "report.html",
        tell=lambda line: print(f"  {line}", flush=True),
    )
    write_atlas(given)
    print("\nOpen these files:")
    for path, what in [*files, (OUT / "report.html", "the report: all of it on one page")]:
        print(f"  {path!s:24} {what}")
    print(f"Go on with (in .venv/bin): mutascope show {folder} MUTANT")
    print(f"Look at the atlas: {sys.executable} -m http.server --bind 127.0.0.1 --directory {ATLAS}")


def write_atlas(given: ScreenSet) -> None:
    """Export the atlas of the screens, in place of that of an earlier run."""
    print("\nThe atlas:")
    shutil.rmtree(ATLAS, ignore_errors=True)
    folders = [results.folder.path for results in given.results.values()]
    for folder in folders:
        prepare(folder)
    write_site(folders, ATLAS, given=given, tell=lambda line: print(f"  {line}", flush=True))


def predict_all() -> list[tuple[Path, str]]:
    """Predict every mutant of the model (about five million), run a sample exactly, and draw all maps."""
    prediction = Prediction(
        "smollm2-135m",
        "drosophila",
        Design(mutations=("max", "min", "zero")),
        tile=TILE,
        sample=SAMPLED_SITES,
    )
    with resumable(prediction):
        results = prediction.run(OUT / PREDICTED)
    save_figure(draw_sheet(results.maps()), OUT / "predicted.png")
    return [
        (OUT / "predicted.png", "predicted: the maps of all loci, predicted; dots mark what was run exactly")
    ]


def draw_maps(results: ScreenData) -> list[tuple[Path, str]]:
    """Draw the locus with the most records, and the sheet of all."""
    counts = results.records().group_by(*LOCUS_KEY, maintain_order=True).len()
    layer, kind, _ = counts.row(counts["len"].arg_max() or 0)
    save_figure(draw_map(results.map(layer, kind)), OUT / "map.png")
    save_figure(draw_sheet(results.maps()), OUT / "sheet.png")
    return [
        (OUT / "map.png", f"map of {layer}.{kind}: what max and min do at every screened site"),
        (OUT / "sheet.png", "sheet: the maps of all screened loci"),
    ]


def show_tokens(results: ScreenData) -> list[tuple[Path, str]]:
    """Print the words at which most NSMs leave the wild type's text, and draw the maps by word."""
    wild = results.manifest.wild_type[0]
    pieces, margins = wild.pieces or [], wild.margins or []
    tokens = fragile_tokens(results.records(), pieces, margins).filter(pl.col("nsm") > 0)
    print("\nFragile tokens, where most NSMs leave the wild type's text (margin of its pick):")
    for row in tokens.sort("share", descending=True, maintain_order=True).head(_TOKENS).iter_rows(named=True):
        told = (
            f"{100 * row['share']:3.0f} %  at token {row['token']:3} {row['piece']!r} ({row['margin']:.2g})"
        )
        print(f"  {told}")
    save_figure(draw_sheet(results.maps(tokens=True)), OUT / "words.png")
    return [(OUT / "words.png", "words: the token at which the NSMs of every site leave first")]


def show_mutant(results: ScreenData) -> list[tuple[Path, str]]:
    """Print and write the word diff of an NSM that shares a beginning with the wild type."""
    path = OUT / "mutant.html"
    nsms = results.texts().filter(pl.col("text").is_not_null() & ~pl.col("silent"))
    if nsms.is_empty():
        return []
    nsm = nsms.sort("first_divergence", maintain_order=True).row(3 * len(nsms) // 4, named=True)
    name = Mutant(*(nsm[part] for part in MUTANT_KEY))
    diff = word_diff(results.wild_type, nsm["text"])
    print(f"\n{name} against the wild type, first difference at token {nsm['first_divergence']}:\n")
    Console(highlight=False).print(diff_to_rich(diff), soft_wrap=True)
    path.write_text(f'<!doctype html><meta charset="utf-8"><h1>{name}</h1>{diff_to_html(diff)}\n', "utf-8")
    return [(path, f"what {name} says: words lost struck through, words gained underlined")]


if __name__ == "__main__":
    try:
        main()
    except MutascopeError as error:
        print(f"mutascope: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
