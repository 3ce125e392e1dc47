"""The documentation: what it shows runs, what it links to is there, and every page has its place.

The commands of the guide and the README run in order on a model of random weights that has the default model's name,
tokenizer and grid of sites, an eighth as wide; a slow test runs those that take long, too. All commands are parsed, so
that their options exist.
"""

import itertools
import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import typer
from api import api_page
from benchmarks.tables import PAGES as BENCHMARKED
from benchmarks.tables import filled
from transformers import AutoTokenizer

from builders import tiny_network
from mutascope.assays.loading import PRESETS
from mutascope.assays.text import TEXT_PRESETS
from mutascope.cli.main import app
from mutascope.core.operators import OPERATORS
from mutascope.model.aliases import fetch_alias

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
GENERATED = {DOCS / "reference" / name for name in ("api", "figures", "tables")}
"""Pages that are written when the documentation is built."""
PAGES = sorted(
    page for page in [*DOCS.rglob("*.md"), *ROOT.glob("*.md")] if page.with_suffix("") not in GENERATED
)
GUIDE = sorted((DOCS / "guide").glob("*.md"))
LONG = {
    "analyze drosophila": "makes every table",
    "figures drosophila": "draws for a minute",
    "report first": "takes half a minute",
    "predicted-answers": "takes half a minute",
    "drosophila --out all-loci": "takes minutes",
    "predict --out": "takes minutes",
    "--sample 50": "takes half a minute",
    "panel first  ": "takes minutes",
    "figures first": "draws for a minute",
    "analyze first --": "makes every table",
    "--error": "runs until the calls are good",
    "--budget": "takes its time",
    "--sample 210": "takes minutes",
    "drosophila --select": "is of such a screen",
    "report drosophila drosophila/panel": "is of such a screen",
    "mmlu": "asks many questions",
    "--workers": "starts processes",
    "--seeds 0-7": "takes eight texts",
}
"""Parts of commands that only the slow test runs."""
OUTSIDE = {
    "capitals.yaml": "takes a model that knows some",
    "--page": "names an NSM of the default model",
    "MUTANT": "stands for one",
    "--executor": "needs a cluster",
    "lm-eval": "needs the harness",
    "embedding_frame": "needs an extra",
    "meta-llama": "needs a network",
}
"""Parts of commands that no test runs: they are parsed. Python with such a part is compiled."""


class Step(NamedTuple):
    """A thing to do: write a file, run a command or execute Python."""

    kind: str
    name: str
    text: str


def blocks(page: Path) -> list[tuple[str, list[str]]]:
    """Return the code blocks of a page, fenced (with their language) and indented (without), in order."""
    found: list[tuple[str, list[str]]] = []
    fence = None
    for line in page.read_text().splitlines():
        if fence is None and line.startswith("    "):
            if found and found[-1][0] == "":
                found[-1][1].append(line[4:])
            else:
                found.append(("", [line[4:]]))
        elif line.startswith("```"):
            fence = line[3:].strip() or "text" if fence is None else None
            if fence is not None:
                found.append((fence, []))
        elif fence is not None:
            found[-1][1].append(line)
        elif found and found[-1][0] == "":
            found.append(("prose", []))
    return [(language, lines) for language, lines in found if language != "prose"]


def commands(page: Path) -> list[tuple[list[str], str]]:
    """Return every ``mutascope`` command of a page as words, with the line that is shown below it."""
    found = []
    for language, lines in blocks(page):
        if language not in ("", "text", "console"):
            continue
        for line, below in zip(lines, [*lines[1:], ""], strict=True):
            if re.match(r"(?:\$ )?mutascope [a-z]", line):
                found.append((shlex.split(line.removeprefix("$ "), comments=True), below))
    return found


def steps(page: Path) -> list[Step]:
    """Return what a reader of a page would do, in order."""
    found = []
    for language, lines in blocks(page):
        shown = re.match(r"\$ cat (\S+)$", lines[0]) or re.match(r"# (\S+\.\w+)$", lines[0])
        if shown:
            found.append(Step("write", shown[1], "\n".join(lines[1:]).strip("\n") + "\n"))
        elif language == "python":
            found.append(Step("python", "", "\n".join(lines)))
        elif language == "":
            for line, below in zip(lines, [*lines[1:], ""], strict=True):
                if re.match(r"(?:\$ )?mutascope [a-z]", line):
                    found.append(Step("command", line.removeprefix("$ "), below))
    return found


@pytest.fixture(scope="session")
def small_default(tmp_path_factory) -> Path:
    """A cache that holds a small model under the default model's name."""
    cache = tmp_path_factory.mktemp("cache")
    source, folder = fetch_alias("smollm2-135m"), cache / "smollm2-135m"
    fetched = AutoTokenizer.from_pretrained(source)
    sizes = {"hidden_size": 72, "intermediate_size": 192, "num_hidden_layers": 30, "vocab_size": 49152}
    heads = {"num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 8}
    network = tiny_network("llama", std=0.1, **sizes, **heads)
    letters = [fetched.encode(f" {letter}")[-1] for letter in "ABCD"]
    head: Any = network.get_output_embeddings()
    with torch.no_grad():  # so that it answers some questions right
        head.weight[letters] *= 6
    network.save_pretrained(folder)
    for path in source.iterdir():
        if path.name not in ("config.json", "model.safetensors"):
            (folder / path.name).write_bytes(path.read_bytes())
    return cache


@pytest.fixture
def in_a_hurry(monkeypatch):
    """Leaves out what tests of their own are about, and what most of the time would go into."""
    monkeypatch.setattr("mutascope.run.controls.mismatches", lambda *arguments: [])  # replays
    shorter = {name: {"max_length": 40} for name in TEXT_PRESETS} | {"general21": {"right": 3, "wrong": 3}}
    for name, fields in shorter.items():
        monkeypatch.setitem(PRESETS, name, PRESETS[name].model_copy(update=fields))


@pytest.fixture
def restored_operators():
    before = dict(OPERATORS)
    yield
    OPERATORS.clear()
    OPERATORS.update(before)


@pytest.fixture
def desk(small_default, tmp_path, monkeypatch) -> None:
    """An empty folder to work in, with the small model at hand."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MUTASCOPE_CACHE", str(small_default))


@pytest.fixture
def mmlu_at_home(tmp_path_factory, monkeypatch) -> None:
    """Two subjects of sums in the form of the MMLU release, where the guide has it."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for part, number in (("dev", 5), ("test", 120)):
        folder = home / "mmlu/data" / part
        folder.mkdir(parents=True)
        for subject in ("international_law", "sums"):
            rows = [f"{i} + {i + 1} =,{i},{2 * i},{2 * i + 1},{3 * i},{'ABCD'[i % 4]}" for i in range(number)]
            (folder / f"{subject}_{part}.csv").write_text("\n".join(rows) + "\n")


def follow(page: Path, cli, left_out: Iterable[str]) -> None:
    """Do what a reader of a page would do, but for what has one of some parts."""
    names: dict[str, object] = {}
    for step in steps(page):
        told = step.text if step.kind == "python" else step.name
        if any(part in told for part in left_out):
            continue
        if step.kind == "write":
            Path(step.name).write_text(step.text)
        elif step.kind == "python":
            exec(compile(step.text, page.name, "exec"), names)
        else:
            words = [os.path.expanduser(word) for word in shlex.split(step.name, comments=True)]
            result = cli(*words[1:])
            assert result.code == (2 if step.text.startswith("mutascope: ") else 0), (step.name, result.err)


@pytest.mark.usefixtures("desk", "restored_operators", "in_a_hurry", "unpainted")
@pytest.mark.parametrize("page", [ROOT / "README.md", *GUIDE], ids=lambda page: page.stem)
def test_what_the_guide_shows_runs(page, cli):
    follow(page, cli, LONG | OUTSIDE)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("desk", "mmlu_at_home", "restored_operators")
@pytest.mark.parametrize("page", [ROOT / "README.md", *GUIDE], ids=lambda page: page.stem)
def test_what_the_guide_shows_runs_whole(page, cli):
    follow(page, cli, OUTSIDE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_shown_python_compiles(page):
    for language, lines in blocks(page):
        if language == "python":
            compile("\n".join(lines), page.name, "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_options_of_shown_commands_exist(page):
    verbs = typer.main.get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]
    for words, _ in commands(page):
        assert words[1] in verbs, words
        verbs[words[1]].make_context(words[1], words[2:])


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as MyST and repository browsers make them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"(?ms)^```.*?^```", "", page.read_text()), re.MULTILINE)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)|`", r"\1", heading).lower() for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists() or linked.with_suffix("") in GENERATED, f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(linked), f"{page.name} links to {target}"


def test_every_page_is_in_the_contents():
    listed = {
        (page.parent / entry).resolve()
        for page in DOCS.rglob("*.md")
        for tree in re.findall(r"(?ms)^```\{toctree\}\n(.*?)^```", page.read_text())
        for entry in tree.splitlines()
        if entry and not entry.startswith(":")
    }
    pages = {page.with_suffix("") for page in [*DOCS.rglob("*.md"), *DOCS.rglob("*.ipynb")]} - GENERATED
    assert pages - listed == {DOCS / "index"}
    assert listed - pages <= GENERATED


def test_modules_that_pages_name_are_there():
    pages = [page for page in PAGES if page.parent.name != "log"]
    for page in pages:
        for name in re.findall(r"`([a-z_]+/[\w/]+\.py)`", page.read_text()):
            assert (ROOT / name).exists() or (ROOT / "src/mutascope" / name).exists(), f"{page.name}: {name}"


def test_pages_that_the_sources_name_are_there():
    for path in [
        *(ROOT / "src").rglob("*.py"),
        *(ROOT / "src").rglob("*.[ch]"),
        *(ROOT / "benchmarks").rglob("*.py"),
    ]:
        for name in re.findall(r"docs/[\w/.-]+\.md", path.read_text()):
            assert (ROOT / name).exists(), f"{path.relative_to(ROOT)} names {name}"


def test_the_page_of_the_api_is_written():
    page = api_page()
    assert "## Screen\n" in page
    assert "load_model(\n    name: str,\n    *,\n    dtype: str = 'float32',\n" in page
    assert "\nNone\n```" not in page  # every public name has a docstring


RULE = re.compile(r"^\|( *:?-+:? *\|)+$")


def test_rows_of_tables_have_the_cells_of_their_header():
    for page in PAGES:
        lines = page.read_text().splitlines()
        for number in (number for number, line in enumerate(lines) if RULE.match(line)):
            rows = itertools.takewhile(lambda line: line.startswith("|"), lines[number - 1 :])
            cells = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
            assert cells == {lines[number].count("|")}, f"{page.name}: {lines[number - 1]}"


@pytest.mark.parametrize("page", BENCHMARKED)
def test_tables_of_benchmarks_show_the_latest_results(page: str) -> None:
    text = (ROOT / page).read_text()
    assert filled(text) == text
