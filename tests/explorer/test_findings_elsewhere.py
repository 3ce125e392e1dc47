"""Findings by a process of its own: the same ones, and a sentence where the process dies."""

import multiprocessing
import os

import pytest

from mutascope import MutascopeError
from mutascope.explorer import elsewhere
from mutascope.explorer.elsewhere import found_elsewhere
from mutascope.explorer.told import found_here
from mutascope.findings import open_many


def die(*_: object) -> None:
    os._exit(9)


def test_another_process_finds_the_same(folders):
    paths = [str(folders["drosophila"])]
    assert list(found_elsewhere(paths)) == list(found_here(lambda: open_many(paths)))
    assert not multiprocessing.active_children()


def test_it_is_told_when_the_process_dies(monkeypatch):
    monkeypatch.setattr(elsewhere, "_find", die)
    with pytest.raises(MutascopeError, match="exit code 9"):
        list(found_elsewhere([]))
