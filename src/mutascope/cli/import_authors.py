"""``mutascope import-authors``: the log files of the paper's scripts into a screen folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mutascope.core.errors import MutascopeError
from mutascope.core.genome import check_name
from mutascope.core.words import counted

if TYPE_CHECKING:
    from mutascope.interop.authors import Imported


def import_authors(
    folder: Annotated[Path, typer.Argument(help="folder with the files of one experiment")],
    out: Annotated[Path, typer.Option(help="screen folder to write")],
    model: Annotated[str, typer.Option(help="llama2-7b, zephyr, or another name, with --shapes")],
    assay: Annotated[str, typer.Option(help="preset or YAML file; with --choice any name")],
    choice: Annotated[bool, typer.Option("--choice", help="texts are answers of the choice assay")] = False,
    swapped: Annotated[
        bool, typer.Option("--swapped", help="logs of the text script from 2025-01-17 on: max is named min")
    ] = False,
    mutations: Annotated[str, typer.Option(help="what was written at every site")] = "max,min,zero",
    shapes: Annotated[
        str | None, typer.Option(help="such as q=4096x4096,up=11008x4096: elements by kind")
    ] = None,
    logs: Annotated[str, typer.Option(help="log files within FOLDER")] = "*.weight_log*.txt",
    codes: Annotated[str, typer.Option(help="code files within FOLDER")] = "*.weight_code*.txt",
    done: Annotated[str, typer.Option(help="done files within FOLDER")] = "*_done*.txt",
    finished: Annotated[str, typer.Option(help="finished files within FOLDER")] = "*.weight_finished*.txt",
) -> None:
    """Read logs in the format of the paper's scripts into a screen folder (docs/reference/authors.md)."""
    from mutascope.interop import authors

    names = tuple(dict.fromkeys(name.strip() for name in mutations.split(",")))
    known = _shapes(model, shapes)
    files = authors.AuthorsFiles(
        logs=_found(folder, logs, "logs", needed=False),
        codes=_found(folder, codes, "codes"),
        done=_found(folder, done, "done", needed=False),
        finished=_found(folder, finished, "finished", needed=False),
    )
    described = {"name": assay} if choice else _text_assay(assay)
    imported = authors.import_authors(
        files,
        out,
        model=model,
        shapes=known,
        assay=described,
        mutations=names,
        choice=choice,
        swapped=swapped,
    )
    labels = "max and min exchanged" if swapped else "labels as they are"
    typer.echo(f"{out}: {counted(imported.mutants, 'mutant')}, {counted(imported.nsm, 'NSM')}, {labels}")
    if not choice and not swapped:
        typer.echo(
            "this is right for the logs of the paper; were these written by the authors' text script of 2025-01-17 or"
            " later, which names max and min the other way round? Then give --swapped (docs/reference/authors.md)"
        )
    _tell_loci(imported)


def _tell_loci(imported: Imported) -> None:
    """Say which loci are complete, and what is not known of the others."""
    typer.echo(f"complete loci: {len(imported.complete)}")
    for names, told in (
        (imported.incomplete, "in part: what was not run is unscreened"),
        (imported.left_out, "left out, because no done or finished file says which of their sites were run"),
    ):
        if names:
            shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            typer.echo(f"{counted(len(names), 'locus', 'loci')} {told} ({shown})")
    if imported.dropped:
        typer.echo(
            f"{counted(imported.dropped, 'logged mutant')} left out: their sites were not run to the end"
        )


def _found(folder: Path, pattern: str, what: str, *, needed: bool = True) -> list[Path]:
    if not folder.is_dir():
        raise MutascopeError(f"{folder} is not a folder")
    try:
        files = sorted(path for path in folder.glob(pattern) if path.is_file())
    except (ValueError, NotImplementedError) as error:
        raise MutascopeError(f"--{what} {pattern!r} is no pattern of files within the folder") from error
    if needed and not files:
        raise MutascopeError(f"{folder} has no file {pattern}: name what is there with --{what}")
    return files


def _shapes(model: str, shapes: str | None) -> dict[str, tuple[int, int]]:
    from mutascope.interop.authors.importing import SHAPES

    if shapes is None:
        check_name("model", model, [*SHAPES])
        return SHAPES[model]
    found = {}
    for part in shapes.split(","):
        kind, _, size = part.strip().partition("=")
        rows, _, cols = size.partition("x")
        if not (kind and rows.isdecimal() and cols.isdecimal() and int(rows) and int(cols)):
            raise MutascopeError(
                f"--shapes has {part.strip()!r}; write kind=ROWSxCOLS, as in down=4096x11008"
            )
        found[kind] = (int(rows), int(cols))
    return found


def _text_assay(name: str) -> dict[str, Any]:
    from mutascope.assays import TextAssay, load_assay

    assay = load_assay(name)
    if not isinstance(assay, TextAssay):
        raise MutascopeError(
            f"assay {assay.name!r} is not a text assay: the logs of choice assays name no prompt"
        )
    if assay.prompt is None:
        raise MutascopeError(
            f"assay {assay.name!r} has chat messages; the authors' scripts take a plain prompt"
        )
    return assay.model_dump(mode="json", exclude_none=True)
