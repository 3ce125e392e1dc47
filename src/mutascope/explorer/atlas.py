"""The addresses of an atlas and what is found there: a server reads them one by one, a static folder holds them all."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from mutascope.core.errors import NotHere
from mutascope.explorer.pages import ScreenPages, check_maps
from mutascope.figures.palette import PALETTES
from mutascope.findings import ScreenSet, all_findings, open_many

_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_LOCUS = re.compile(r"\b\d+\.[a-z](?:[\w.-]*\w)?")


class Atlas:
    """Screens as a site: ``index.html`` and its parts, and data below ``data/``.

    Args:
        folders: screen folders, as :func:`~mutascope.findings.open_many` takes them.
        served: whether somebody answers requests; otherwise the site is a folder of files.

    Raises:
        MutascopeError: when there is nothing to show.
    """

    def __init__(self, folders: Sequence[str], *, served: bool = True) -> None:
        self._folders, self.served = list(folders), served
        self._open()

    def _open(self) -> None:
        self.given = open_many(self._folders)
        self.screens = [ScreenPages(self.given, label) for label in check_maps(self.given)]
        self._known: dict[str, bytes] = {}

    def refresh(self) -> None:
        """Open the folders again where they hold other units than they did."""
        if any(screen.results.folder.finished_units() != screen.units for screen in self.screens):
            self._open()

    def paths(self) -> Iterator[str]:
        """Yield the addresses of all pages."""
        yield from (f"{name}" for name in _web())
        yield "data/atlas.json"
        yield "data/findings.json"
        for number, screen in enumerate(self.screens):
            yield f"data/{number}/overview.bin"
            yield f"data/{number}/phenotypes.bin"
            yield from (f"data/{number}/loci/{name}.bin" for name in screen.maps)
            for piece in range(screen.pieces):
                yield f"data/{number}/texts/{piece}.json"
                yield f"data/{number}/sites/{piece}.bin"

    def read(self, path: str) -> bytes:
        """Return the page at an address.

        Raises:
            KeyError: when there is none.
        """
        if path in _web():
            return _web()[path]()
        known = self._known  # not those of a refresh meanwhile
        if path not in known:
            known[path] = self._made(path)
        return known[path]

    def _made(self, path: str) -> bytes:
        match path.split("/"):
            case ["data", "atlas.json"]:
                return _json(self.index())
            case ["data", "findings.json"]:
                return _json(list(findings(self.given, self.screens)))
            case ["data", number, page]:
                screen = self._screen(number)
                made = {"overview.bin": screen.overview, "phenotypes.bin": screen.phenotype_table}
                return made[page]()
            case ["data", number, "loci", page] if page.endswith(".bin"):
                return self._screen(number).locus(page.removesuffix(".bin"))
            case ["data", number, "texts", page] if page.endswith(".json"):
                return _json(self._screen(number).texts(_number(page.removesuffix(".json"))))
            case ["data", number, "sites", page] if page.endswith(".bin"):
                return self._screen(number).sites(_number(page.removesuffix(".bin")))
        raise KeyError(path)

    def search(self, number: str, words: str) -> list[int]:
        """Return the phenotypes of a screen whose text holds the words (:meth:`ScreenPages.search`).

        Raises:
            KeyError: when there is no such screen.
        """
        return self._screen(number).search(words)

    def index(self) -> dict[str, Any]:
        """Return what the whole atlas holds."""
        return {
            "version": version("mutascope"),
            "served": self.served,
            "palettes": {
                name: {status.name.lower(): colour for status, colour in palette.statuses.items()}
                for name, palette in PALETTES.items()
            },
            "screens": [screen.index() for screen in self.screens],
        }

    def _screen(self, number: str) -> ScreenPages:
        return dict(enumerate(self.screens))[_number(number)]


def media_type(path: str) -> str:
    """Return the media type of an address."""
    ending = path.rpartition(".")[2]
    return {"json": "application/json", "bin": "application/octet-stream", **_TYPES}[ending]


def findings(given: ScreenSet, screens: Sequence[ScreenPages]) -> Iterator[dict[str, Any]]:
    """Yield the sentences of the report: ``section``, ``sentence``, and ``screen`` and ``locus`` that it speaks of.

    The last two are null where it speaks of none, or of several screens.
    """
    for section in (finding.section for finding in all_findings() if finding.section):
        try:
            sentences = list(section.sentences(given))
        except NotHere:
            continue
        for sentence in sentences:
            yield {"section": section.title, "sentence": sentence, **_place(sentence, screens)}


def _place(sentence: str, screens: Sequence[ScreenPages]) -> dict[str, Any]:
    named, rest = [], sentence
    for number, screen in sorted(enumerate(screens), key=lambda item: -len(item[1].label)):
        rest, times = re.subn(rf"(?<!\w){re.escape(screen.label)}(?!\w)", "", rest)
        named += [number] if times else []
    number = named[0] if len(named) == 1 else 0 if len(screens) == 1 else None
    loci = (
        [] if number is None else [name for name in _LOCUS.findall(sentence) if name in screens[number].maps]
    )
    return {"screen": number, "locus": loci[0] if loci else None}


def _web() -> dict[str, Callable[[], bytes]]:
    """How the parts of the page are read, by name."""
    folder = files("mutascope.explorer") / "web"
    return {part.name: part.read_bytes for part in folder.iterdir() if part.name.rpartition(".")[2] in _TYPES}


def _number(text: str) -> int:
    if not text.isdecimal():
        raise KeyError(text)
    return int(text)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")
