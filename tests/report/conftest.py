"""A reader of pages."""

from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from mutascope.findings import ScreenSet
from mutascope.report import pictures, report_html
from mutascope.report.blocks import Picture


class Page(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html, self.tags, self.parts = html, [], []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.parts).split())

    def all(self, tag: str, **wanted: str) -> list[dict]:
        return [a for name, a in self.tags if name == tag and all(a.get(k) == v for k, v in wanted.items())]

    @property
    def sections(self) -> list[str]:
        return [attributes["id"] for attributes in self.all("section")]


def unpainted(figure: Figure, caption: str) -> Picture:
    """Return a picture without what a page needs most time for: its pixels or strokes."""
    width = round(float(figure.get_size_inches()[0]) * 96)
    return Picture("data:image/png;base64,", width, caption)


@pytest.fixture(scope="session")
def page_of() -> Callable[..., Page]:
    """Return the report of some folders, read; its figures are made, and painted if that is wanted."""

    def read(*folders: Path, painted: bool = False) -> Page:
        with pytest.MonkeyPatch.context() as patch:
            if not painted:
                patch.setattr(pictures, "picture", unpainted)
            return Page(report_html(ScreenSet(folders)))

    return read
