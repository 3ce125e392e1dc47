"""The atlas as a folder of files, which any file host serves."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from mutascope.core.errors import MutascopeError
from mutascope.explorer.atlas import Atlas
from mutascope.findings import ScreenSet


def write_site(
    folders: Sequence[str],
    site: str | os.PathLike[str],
    *,
    given: ScreenSet | None = None,
    tell: Callable[[str], None] = print,
) -> None:
    """Write the atlas of screens into a new or empty folder.

    Args:
        folders: screen folders.
        site: the folder, which is made.
        given: the same screens, where they are open already, for the findings.
        tell: is given the number of files and their size.

    Raises:
        MutascopeError: when the folder holds something, or cannot be written.
    """
    home = Path(site)
    if home.exists() and not (home.is_dir() and not any(home.iterdir())):
        raise MutascopeError(f"{home} is not an empty folder: choose another one for --export")
    atlas, written, size = Atlas(folders, served=False, given=given), 0, 0
    try:
        for path in atlas.paths():
            page, target = atlas.read(path), home / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(page)
            written, size = written + 1, size + len(page)
    except OSError as error:
        raise MutascopeError(f"{home} cannot be written: {error.strerror or error}") from error
    tell(f"{home}: {written:,} files, {size / 1e6:.1f} MB; any file host serves it")
    tell(f"look at it here: python -m http.server --bind 127.0.0.1 --directory {home}")
