"""The pages of a screen, kept in its folder, so that a screen of millions of mutants opens at once."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from typing import Protocol

from mutascope.core.errors import MutascopeError
from mutascope.explorer.pages import ScreenPages, page_names
from mutascope.explorer.shapes import PagesIndex
from mutascope.store import ScreenFolder

FOLDER = "atlas"
VERSION = 4
"""Of the pages; those of another version are made again."""


class Pages(Protocol):
    """The pages of a screen: read from its folder, or made."""

    @property
    def index(self) -> PagesIndex:
        """What the screen is, and every locus with its counts."""
        ...

    def read(self, name: str) -> bytes:
        """Return a page, compressed with gzip.

        Raises:
            KeyError: when there is none of the name.
        """
        ...


def stamp(folder: ScreenFolder) -> str:
    """Return what changes when a screen gets another unit, prediction or calibration, or is finished."""
    names = [*sorted(folder.finished_units()), "", *sorted(folder.predicted_loci()), ""]
    return hashlib.sha256("\n".join(names).encode() + folder.files.read("manifest.json")).hexdigest()


class MadePages:
    """Pages made when they are asked for.

    Args:
        folder: of the screen.
        keep: what was made, for those who ask again.
    """

    def __init__(self, folder: str, *, keep: bool) -> None:
        self._pages, self._keep = ScreenPages(folder), keep
        self._known: dict[str, bytes] = {}

    @property
    def index(self) -> PagesIndex:
        """What the screen is, and every locus with its counts."""
        return self._pages.index

    def read(self, name: str) -> bytes:
        """Return a page, compressed with gzip.

        Raises:
            KeyError: when there is none of the name.
        """
        if name in self._known:
            return self._known[name]
        page = compressed(self._pages.read(name))
        if self._keep:
            self._known[name] = page
        return page


class StoredPages:
    """Pages that stand in the folder of a screen.

    Args:
        folder: of the screen.
        index: as it stands there.
    """

    def __init__(self, folder: ScreenFolder, index: PagesIndex) -> None:
        self._files, self.index, self._names = folder.files, index, set(page_names(index))

    def read(self, name: str) -> bytes:
        """Return a page, compressed with gzip.

        Raises:
            KeyError: when there is none of the name.
        """
        if name not in self._names:
            raise KeyError(name)
        try:
            return self._files.read(f"{FOLDER}/{name}.bin")
        except FileNotFoundError:
            raise KeyError(name) from None


def pages_of(folder: ScreenFolder, now: str, *, keep: bool = True) -> Pages:
    """Return the pages of a screen: those that stand in its folder, or else such as are made.

    Args:
        folder: of the screen.
        now: its :func:`stamp`.
        keep: pages that were made.

    Raises:
        MutascopeError: when the screen holds neither record nor prediction, or is damaged.
    """
    index = _stored_index(folder, now)
    return MadePages(folder.path, keep=keep) if index is None else StoredPages(folder, index)


def _stored_index(folder: ScreenFolder, now: str) -> PagesIndex | None:
    """The index that stands in the folder; None where there is none of the screen as it is now."""
    try:
        stored = json.loads(folder.files.read(f"{FOLDER}/index.json"))
    except (FileNotFoundError, ValueError):
        return None
    return stored["index"] if (stored.get("version"), stored.get("stamp")) == (VERSION, now) else None


def prepare(path: str | os.PathLike[str]) -> bool:
    """Write the pages of a screen into its folder; return False where they stand there already.

    Raises:
        MutascopeError: when it is no screen or a panel, holds neither record nor prediction, or is damaged.
    """
    folder = ScreenFolder(path)
    if folder.manifest().assay.type == "panel":
        raise MutascopeError(f"{folder.path} is a panel, which is no map")
    now = stamp(folder)
    if _stored_index(folder, now) is not None:
        return False
    pages = ScreenPages(folder.path)
    folder.files.remove(f"{FOLDER}/index.json")  # what it describes is replaced
    for name in page_names(pages.index):
        folder.files.write(f"{FOLDER}/{name}.bin", compressed(pages.read(name)))
    index = {"version": VERSION, "stamp": now, "index": pages.index}
    told = json.dumps(index, ensure_ascii=False, allow_nan=False)
    folder.files.write(f"{FOLDER}/index.json", told.encode("utf-8", "surrogatepass"))
    return True


def compressed(page: bytes) -> bytes:
    """Return a page as it is kept and sent; equal pages are equal bytes."""
    return gzip.compress(page, 6, mtime=0)
