"""How the screens of an analysis are called."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mutascope.core.errors import MutascopeError
from mutascope.findings.columns import SHARED
from mutascope.store.reader import ScreenData


def labelled(paths: Sequence[str | os.PathLike[str]]) -> dict[str, ScreenData]:
    """Return screens by label (:class:`~mutascope.findings.screens.ScreenSet`), with nothing read but their manifests.

    Raises:
        MutascopeError: when there is none, one is given twice, or is no screen.
    """
    return {titled(label, results): results for label, results in _opened(paths).items()}


def titled(name: str, results: ScreenData) -> str:
    """Return a name with what sort of screen it is of."""
    told = f"{name} (null)" if results.manifest.model.shuffled else name
    return f"{told} (predicted)" if results.predicted else told


def _opened(paths: Sequence[str | os.PathLike[str]]) -> dict[str, ScreenData]:
    """The screens by name."""
    if not paths:
        raise MutascopeError("there is no screen to analyse: give at least one screen folder")
    named = [_named(path) for path in paths]
    folders = [folder for _, folder in named]
    twice = [folder for index, folder in enumerate(folders) if folder in folders[:index]]
    if twice:
        raise MutascopeError(f"{twice[0]} is given twice: give every screen folder once")
    names = [name for name, _ in named]
    labels = [no_column(name) if names.count(name) == 1 else folder for name, folder in named]
    return dict(zip(labels, map(ScreenData, folders), strict=True))


def _named(path: str | os.PathLike[str]) -> tuple[str, str]:
    """Name and folder of ``folder`` or ``NAME=folder``; a folder whose own name has a sign = is given as ./a=b."""
    told = str(path)
    name, equals, folder = told.partition("=")
    if isinstance(path, str) and equals and name and "/" not in name:
        return name, folder.rstrip("/")
    folder = told.rstrip("/")
    return os.path.basename(os.path.abspath(folder) if folder in (".", "..") else folder), folder


def no_column(name: str) -> str:
    """Return a name that is not that of a column: in wide tables, labels stand beside columns of other meanings."""
    return f"{name} (assay)" if name in SHARED else name
