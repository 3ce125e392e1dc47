"""Screens with an output of every unpleasant sort, served and as a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from browsing import hosted, launched, opened, served

from mutascope.explorer import Atlas, write_site
from stores import records_of, write_screen

MAPS = {(0, "v"): "+-#. \n.+.-#\n#..+-", (1, "gate"): "+.\n-#\n..", (1, "down"): "-+.\n.#-"}
HOSTILE = (
    "<script>document.title = 'run'</script><img src=x onerror=\"document.title = 'run'\">",
    "quotes \" ' ` and & < >",
    "right to left: \u202eevil\u202c שלום مرحبا",
    "emoji 🪰👩‍🔬 and \u0000 control",
    "long " * 20_000,
    "the egg hatches\ninto an adult",
)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory) -> Path:
    """A screen of three small loci whose mutants say what a page must not act on."""
    return write_screen(tmp_path_factory.mktemp("hostile") / "hostile", records_of(MAPS, HOSTILE), name="say")


@pytest.fixture(scope="session")
def atlas(folders, predicted) -> Atlas:
    """Two text assays, a choice assay, a panel (which is no map) and a predicted screen."""
    return Atlas([*map(str, folders.values()), str(predicted)])


@pytest.fixture(scope="session")
def browser():
    yield from launched()


@pytest.fixture(scope="module", params=["served", "exported"])
def address(request, folders, hostile, tmp_path_factory):
    """Address of an atlas of a text assay, of the hostile one and of a choice assay."""
    paths = [str(folders["drosophila"]), str(hostile), str(folders["mmlu21"])]
    if request.param == "served":
        yield from served(Atlas(paths))
    else:
        site = tmp_path_factory.mktemp("site") / "atlas"
        write_site(paths, site, tell=lambda line: None)
        yield from hosted(str(site))


@pytest.fixture
def page(browser, address):
    yield from opened(browser, address)
