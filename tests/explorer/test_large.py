"""A screen of the size of a 7B model: 3.4 million records, 400,000 phenotypes, served and as a folder."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import pytest

pytest.importorskip("playwright", reason="the atlas in a browser takes playwright, of the extra dev")
pytest.importorskip("starlette", reason="the server takes the extra explorer")

from browsing import CHROMIUM, hosted, look, opened
from large import write_large, write_large_predicted

from mutascope.explorer import Atlas
from mutascope.explorer.atlas import FINDINGS
from mutascope.explorer.prepared import prepare
from mutascope.store.reader import ScreenData

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine"),
]
FIRST_VIEW, LOCUS, SEARCH = 2.0, 0.3, 1.0
"""Seconds."""
MEMORY = 1.5e9
"""Bytes of the server."""
SITE = 60e6
"""Bytes of an exported atlas of 3.3 million predicted sites."""


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    folder = write_large(tmp_path_factory.mktemp("large") / "screen")
    assert prepare(folder)
    return folder


class Served:
    """``mutascope explore`` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        command = [
            sys.executable,
            "-m",
            "mutascope.cli.main",
            "explore",
            str(folder),
            "--no-browser",
            "--port",
            "0",
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().split()[0]

    def most_memory(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return 1024.0 * int(found[1])


@pytest.fixture(scope="module")
def server(large) -> Iterator[Served]:
    served = Served(large)
    yield served
    served.process.terminate()
    served.process.communicate()  # which closes the pipe, too


def write_quickly(folder: Path, home: Path) -> int:
    """Write the site, but for the findings, which take minutes; return its size in bytes."""
    atlas, size = Atlas([str(folder)], served=False), 0
    for path in atlas.paths():
        if path != FINDINGS:
            (home / path).parent.mkdir(parents=True, exist_ok=True)
            size += (home / path).write_bytes(atlas.read(path))
    return size


@pytest.fixture(scope="module")
def site(large, tmp_path_factory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("site")
    write_quickly(large, home)
    yield from hosted(str(home))


def seconds(page, view: str) -> float:
    began = perf_counter()
    page.evaluate(
        "view => { delete document.getElementById('main').dataset.ready; location.hash = view; }", view
    )
    page.wait_for_selector("main[data-ready]:not([aria-busy])")
    return perf_counter() - began


def travel(browser, address: str, large: Path) -> dict[str, float]:
    """Look at the screen, check what is shown, and return how long it took."""
    results, took = ScreenData(large), {}
    for page in opened(browser, address):
        began = perf_counter()
        look(page)
        took["first view"] = perf_counter() - began
        assert f"{results.total:,} mutants run" in page.locator(".model .quiet").first.inner_text()
        took["locus"] = max(seconds(page, f"view=locus&locus={name}") for name in ("3.v", "17.q", "30.down"))
        nsms = results.map(30, "down").nsm_sites
        shown = page.locator(".legend b").all_inner_texts()[2:]
        assert sum(int(text.replace(",", "")) for text in shown) == nsms
        took["search"] = seconds(page, "view=phenotypes&words=fruit+fly")
        texts = results.phenotypes()["text"].str
        wanted = (texts.contains(r"\bfruit\b") & texts.contains(r"\bfly\b")).sum()
        assert f"{wanted:,} of 400,000 phenotypes" in page.locator("#found").inner_text()
        took["search of one"] = seconds(page, "view=phenotypes&words=unique123456")
        assert page.locator("#found").inner_text().startswith("1 of ")
        took["search of a phrase"] = seconds(page, 'view=phenotypes&words="word0+word1"')
        assert page.locator("tbody tr").count() >= 50
        wanted = texts.contains("word0 word1", literal=True).sum()
        began = perf_counter()
        page.get_by_text(f"{wanted:,} of 400,000 phenotypes").wait_for(timeout=120_000)
        took["all of the phrase"] = perf_counter() - began
    return took


def test_a_server_is_fast_and_small(browser, server, large):
    took = travel(browser, server.address, large)
    print(took, server.most_memory())
    assert server.most_memory() < MEMORY
    check(took)


def test_a_static_folder_is_as_fast(browser, site, large):
    took = travel(browser, site, large)
    print(took)
    check(took)


def check(took: dict[str, float]) -> None:
    assert took["first view"] < FIRST_VIEW
    assert took["locus"] < LOCUS
    assert max(took[name] for name in took if name.startswith("search")) < SEARCH


def test_millions_of_predicted_sites_are_a_small_folder(tmp_path):
    size = write_quickly(write_large_predicted(tmp_path / "predicted"), tmp_path / "site")
    print(f"{size / 1e6:.1f} MB")
    assert size < SITE
