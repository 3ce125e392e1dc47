"""All figures into a folder, as PDF and PNG."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Sequence

from mutascope.core.errors import MutascopeError, NotHere
from mutascope.core.genome import check_name
from mutascope.figures.maps import save_figure, settle
from mutascope.figures.palette import PAPER, Palette
from mutascope.figures.registry import FIGURES
from mutascope.findings.screens import Screens
from mutascope.findings.writing import make_folder


def write_figures(
    given: Screens,
    out: str | os.PathLike[str],
    *,
    palette: Palette = PAPER,
    tell: Callable[[str], None] = print,
    only: Sequence[str] = (),
) -> None:
    """Write every figure, or those named in ``only``, as NAME.pdf and NAME.png into a folder.

    Args:
        given: the screens.
        out: the folder, which is made if need be; other files in it stay.
        palette: colours.
        tell: is given a line per figure.
        only: names of figures; one that these screens cannot make is an error then.

    Raises:
        MutascopeError: for an unknown name, a figure of ``only`` that cannot be drawn, a folder that cannot be written.
    """
    for name in only:
        check_name("figure", name, list(FIGURES))
    folder = make_folder(out)
    taken: set[str] = set()
    for name in only or FIGURES:
        drawn = FIGURES[name].draw(given, palette)
        while True:
            try:
                suffix, figure = next(drawn)
            except StopIteration:
                break
            except NotHere as error:
                if only:
                    raise MutascopeError(f"the figure {name} cannot be drawn: {error}") from error
                tell(f"{name}: left out, {error}")
                break
            file = _free(f"{name}_{_safe(suffix)}" if suffix else name, taken)
            settle(figure)
            for kind in ("pdf", "png"):
                save_figure(figure, folder / f"{file}.{kind}")
            tell(f"{file}: pdf, png")


def _free(file: str, taken: set[str]) -> str:
    """A file name that no picture has yet, in capitals or not; with a number where labels differ in signs alone."""
    numbered = (f"{file}_{number}" for number in itertools.count(2))
    free = next(name for name in itertools.chain([file], numbered) if name.lower() not in taken)
    taken.add(free.lower())
    return free


def _safe(label: str) -> str:
    return re.sub(r"[^\w.-]+", "_", label).strip("_")
