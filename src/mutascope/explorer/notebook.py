"""The view of one locus as a page of its own, which a notebook shows in a frame: script, style and data in one file."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mutascope.explorer.atlas import palettes, web
from mutascope.explorer.prepared import Pages, pages_of, stamp
from mutascope.figures import draw_map

if TYPE_CHECKING:
    from mutascope.analysis.maps import MapData
    from mutascope.store.reader import ScreenData

HEIGHT = 640
MOST = 4_000_000
"""Bytes of data that a page takes along, at most."""
_IMPORT = re.compile(r'^import (\* as )?(.+?) from "\./(\w+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?:async )?(?:function\*?|class|const) (\w+|\[[^]]+\])", re.MULTILINE)


def mime_bundle(results: ScreenData, data: MapData) -> dict[str, Any]:
    """Return how a notebook shows a map: as a frame with the view of the locus, if that is small, and as a picture."""
    drawn = io.BytesIO()
    draw_map(data).savefig(drawn, format="png", dpi=110, bbox_inches="tight")
    shown: dict[str, Any] = {"image/png": drawn.getvalue(), "text/plain": repr(data)}
    page = locus_page(results, data.name)
    if page is not None:
        shown["text/html"] = _framed(page, data.name, drawn.getvalue())
    return shown


def _framed(page: str, name: str, picture: bytes) -> str:
    """The frame, in front of the picture: a notebook that is not trusted drops frames, and shows what is behind."""
    source = base64.b64encode(page.encode("utf-8", "surrogatepass")).decode()
    behind = base64.b64encode(picture).decode()
    return (
        f'<div style="position: relative; min-height: {HEIGHT}px">'
        f'<img alt="Map of {name}" src="data:image/png;base64,{behind}" style="max-width: 100%">'
        f'<iframe title="Map of {name}" style="position: absolute; inset: 0; width: 100%; height: 100%; border: 0"'
        f' src="data:text/html;charset=utf-8;base64,{source}#view=locus&amp;locus={name}"></iframe></div>'
    )


def locus_page(results: ScreenData, name: str) -> str | None:
    """Return the page of a locus; None where its data, and what the mutants say, are too large for one page."""
    pages = pages_of(results.folder, stamp(results.folder))
    index = {
        **pages.index,
        "label": pages.index["title"],
        "folder": results.folder.path,
        "imported": bool(results.manifest.imported),
        "finished": True,
    }
    kept = {f"data/0/{each}.bin": content for each, content in _pages(pages, name)}
    if sum(map(len, kept.values())) > MOST:
        return None
    atlas = {"served": False, "live": False, "panels": [], "screens": [index], "palettes": palettes()}
    told = json.dumps(atlas, ensure_ascii=False).encode("utf-8", "surrogatepass")
    data = {path: base64.b64encode(page).decode() for path, page in {**kept, "data/atlas.json": told}.items()}
    html = web()["index.html"].decode()
    script = f"globalThis.embedded = {json.dumps(data)};\n{bundled('main')}"
    html = re.sub(r"<meta http-equiv[^>]+>\n", "", html)
    html = html.replace(
        '<link rel="stylesheet" href="style.css">', f"<style>{web()['style.css'].decode()}</style>"
    )
    return html.replace(
        '<script type="module" src="main.js"></script>', f'<script type="module">{script}</script>'
    )


def _pages(pages: Pages, name: str) -> Iterator[tuple[str, bytes]]:
    """Yield the pages that the views of a locus and of the phenotypes read."""
    index = pages.index
    for each in ("overview", "phenotypes", "words", f"loci/{name}"):
        yield each, pages.read(each)
    for piece in range(-(-index["phenotypes"] // index["piece"])):
        yield f"texts/{piece}", pages.read(f"texts/{piece}")
        yield f"sites/{piece}", pages.read(f"sites/{piece}")
    for piece in range(index["word_pieces"]):
        yield f"words/{piece}", pages.read(f"words/{piece}")
    if name in index["answered"]:
        yield f"answers/{name}", pages.read(f"answers/{name}")


def bundled(module: str, known: set[str] | None = None) -> str:
    """Return a module of the page and all that it imports as one script: each a function that returns its exports."""
    known = set() if known is None else known
    source = web()[f"{module}.js"].decode()
    before = []
    for _, _, other in _IMPORT.findall(source):
        if other not in known:
            known.add(other)
            before.append(bundled(other, known))
    names = ", ".join(name.strip("[]") for name in _EXPORT.findall(source))
    body = _IMPORT.sub(lambda found: f"const {found[2]} = {found[3]}_js;", source)
    body = re.sub(r"^export ", "", body, flags=re.MULTILINE)
    return "".join(before) + f"const {module}_js = (() => {{\n{body}\nreturn {{ {names} }};\n}})();\n"
