"""A browser, and atlases that it looks at: served, and as a folder on a plain file host."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from mutascope.explorer import Atlas

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOST = "127.0.0.1"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def launched() -> Iterator[Browser]:
    """Yield a headless browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def served(atlas: Atlas, speaker: Any = None) -> Iterator[str]:
    """Yield the address of an atlas that is served."""
    import uvicorn

    from mutascope.explorer.server import application, free_socket

    listening = free_socket(0)
    app = application(atlas, speaker)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, args=[[listening]])
    thread.start()
    try:
        yield f"http://{HOST}:{listening.getsockname()[1]}/"
    finally:  # else a test that fails leaves a thread that nobody ends
        server.should_exit = True
        thread.join()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None: ...


def hosted(folder: str) -> Iterator[str]:
    """Yield the address of a folder on a plain file host."""
    with ThreadingHTTPServer((HOST, 0), partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://{HOST}:{server.server_port}/"
        server.shutdown()
        thread.join()


def opened(browser: Browser, address: str) -> Iterator[Page]:
    """Yield a page, and check that it has run without an error and has asked nobody else."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, base_url=address)
    page.set_default_timeout(20_000)
    problems, requests = [], []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: requests.append(request.url))
    yield page
    page.close()
    assert not problems
    assert all(url.startswith((address, "data:")) for url in requests)


def look(page: Page, view: str = "") -> None:
    """Go to a view, and wait until it is there."""
    if not page.url.endswith(f"#{view}"):  # what is ready is another view
        page.evaluate("document.querySelector('main')?.removeAttribute('data-ready')")
    page.goto(f"/#{view}")
    page.wait_for_selector("main[data-ready]:not([aria-busy])")
