"""A reader of pages."""

from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mutascope.findings import ScreenSet
from mutascope.report import pictures, report_html
from painting import Painter


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


@pytest.fixture(scope="session")
def page_of() -> Callable[..., Page]:
    """Return the report of some folders, read; all its figures are made, and so many pictures of each painted."""

    def read(*folders: Path, painted: int = 0) -> Page:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pictures, "picture", Painter(painted))
            return Page(report_html(ScreenSet(folders)))

    return read
