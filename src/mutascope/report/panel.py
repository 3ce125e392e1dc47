"""A mutant's outputs on a panel beside the wild type's, as one self-contained HTML page."""

from __future__ import annotations

from html import escape

import polars as pl

from mutascope.analysis.diff import diff_to_html, word_diff
from mutascope.analysis.writers import initial_words, top_words
from mutascope.core.errors import MutascopeError
from mutascope.core.genome import Mutant
from mutascope.core.manifest import PromptInfo
from mutascope.store.reader import ScreenData

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 84rem; padding: 0 1rem; }
table { border-collapse: collapse; table-layout: fixed; width: 100%; }
th, td { border-top: 1px solid #ccc; padding: .5rem .6rem; text-align: left; vertical-align: top; }
td { white-space: pre-wrap; overflow-wrap: anywhere; }
th { position: sticky; top: 0; background: #fff; }
tr.same td { color: #777; }
del { background: #ffe3e0; text-decoration: none; } ins { background: #dff3df; text-decoration: none; }
.number { width: 3rem; } .prompt { width: 22%; }
small { color: #777; }
@media (prefers-color-scheme: dark) {
  body, th { background: #16181c; color: #e6e6e6; } th, td { border-color: #444; }
  del { background: #5c2622; color: inherit; } ins { background: #1f4a26; color: inherit; }
}
"""


def panel_page(results: ScreenData, mutant: Mutant) -> str:
    """Return the page: a row per prompt with the wild type's output and the mutant's, changes marked.

    Model output is escaped, and nothing is loaded from elsewhere.

    Raises:
        MutascopeError: when the panel does not hold the mutant.
    """
    said = results.outputs_of(mutant)
    if said.is_empty():
        raise MutascopeError(f"{results.folder.path} holds no outputs of {mutant} (yet)")
    prompts, wild = results.manifest.prompts, results.manifest.wild_type
    rows = [
        _row(place, prompts[place], wild[place].continuation, continuation)
        for place, continuation in said.select("prompt", "continuation").iter_rows()
    ]
    wild_frame = pl.DataFrame(
        {"prompt": range(len(wild)), "continuation": [output.continuation for output in wild]}
    )
    changed = sum(row.text != continuation for row, continuation in zip(wild, said["text"], strict=True))
    facts = (
        f"{results.manifest.model.name}, {len(prompts)} prompts, {changed} outputs differ."
        f" Most frequent initial word: {_top(wild_frame)} (wild type), {_top(said)} (mutant)."
    )
    title = f"{mutant} on the panel {results.manifest.assay.name}"
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style>\n<h1>{escape(title)}</h1>\n<p>{escape(facts)}</p>\n"
        '<table>\n<tr><th class="number">#</th><th class="prompt">prompt</th><th>wild type</th><th>mutant</th></tr>\n'
        + "\n".join(rows)
        + "\n</table>\n</html>\n"
    )


def _row(place: int, prompt: PromptInfo, wild: str, mutant: str | None) -> str:
    genre = f"<br><small>{escape(prompt.genre)}</small>" if prompt.genre else ""
    told = "<em>non-finite: no text</em>" if mutant is None else diff_to_html(word_diff(wild, mutant))
    same = ' class="same"' if mutant == wild else ""
    cells = (str(place), escape(prompt.text) + genre, diff_to_html([("equal", wild)]), told)
    return f"<tr{same}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _top(outputs: pl.DataFrame) -> str:
    """Return the initial word of highest frequency and how many outputs it starts."""
    words = initial_words(outputs.select("prompt", "continuation"))
    word, count, total = top_words(words, by=()).row(0)
    return f"{word!r}, {count} of {total}"
