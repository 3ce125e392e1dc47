"""Data flows one way: which package may import which, and what must be imported without torch or without plotting."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1] / "src" / "mutascope"
MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "model": {"core"},
    "numerics": {"core", "model"},
    "store": {"core"},
    "assays": {"core", "model", "store"},
    "engine": {"core", "model", "numerics"},
    "predict": {"core", "model", "numerics", "engine"},
    "analysis": {"core"},
    # A prediction is calibrated between its rounds.
    "run": {"core", "model", "assays", "engine", "predict", "store", "analysis"},
    "figures": {"core", "analysis"},
    "findings": {"core", "store", "analysis", "figures"},
    "report": {"core", "store", "analysis", "figures", "findings"},
    "explorer": {"core", "store", "analysis", "figures", "findings"},
    "interop": {"core", "assays", "store", "run", "analysis"},
}
"""The packages that a package imports when it is imported; ``cli`` may import all."""
WITHIN_FUNCTIONS: dict[str, set[str]] = {
    # Methods of ScreenData that only call what belongs elsewhere: rates, map, maps, load_model.
    "store": {"analysis", "explorer", "model"},
}
"""What a package may import where a function is called, besides."""
PLOTTING, TORCH = ("matplotlib",), ("torch", "transformers")
WITHOUT: tuple[dict[str, tuple[str, ...]], ...] = (
    {
        **dict.fromkeys(("core", "store", "analysis"), (*TORCH, *PLOTTING)),
        **dict.fromkeys(("model", "numerics", "engine", "predict", "assays", "run", "interop"), PLOTTING),
    },
    dict.fromkeys(("figures", "findings", "report", "explorer"), TORCH),
)
"""What is not imported with a package, however indirectly; those of a group are imported one after the other."""
IMPORT_ALL = """
import importlib, json, pkgutil, sys
for name, unwanted in json.loads(sys.argv[1]).items():
    package = importlib.import_module(f"mutascope.{name}")
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as missing:
            if missing.name != "triton":  # which comes with torch for CUDA
                raise
    loaded = [each for each in unwanted if each in sys.modules]
    assert not loaded, f"{name} imports {loaded}"
"""


class Import(NamedTuple):
    """An import of another package of mutascope."""

    place: str
    package: str
    within_function: bool


def imports_of(path: Path) -> Iterator[Import]:
    """Yield the packages that a file imports, those for type checkers left out."""

    def visit(node: ast.AST, within: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            for name in imported(child):
                yield Import(f"{path.relative_to(ROOT)}:{child.lineno}", name, within)  # pyright: ignore
            yield from visit(child, within or isinstance(child, ast.FunctionDef | ast.Lambda))

    return visit(ast.parse(path.read_text(encoding="utf-8")), False)


def imported(node: ast.AST) -> Iterator[str]:
    """Yield the packages of mutascope that a statement imports."""
    names = []
    if isinstance(node, ast.ImportFrom):
        assert not node.level, "imports are absolute"
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    elif isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    for name in names:
        top, _, rest = name.partition(".")
        if top == "mutascope":
            yield rest.partition(".")[0]


def test_every_package_has_its_place():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages == {*MAY_IMPORT, "cli"}
    assert sorted(package for group in WITHOUT for package in group) == sorted(MAY_IMPORT)
    assert [path.name for path in ROOT.glob("*.py")] == ["__init__.py"]


def test_no_package_imports_itself_in_a_circle():
    list(TopologicalSorter(MAY_IMPORT).static_order())


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_what_is_left_of_it(package):
    found = [each for path in (ROOT / package).rglob("*.py") for each in imports_of(path)]
    assert found or package == "core"
    allowed, later = MAY_IMPORT[package] | {package}, WITHIN_FUNCTIONS.get(package, set())
    wrong = [
        f"{each.place} imports {each.package}"
        for each in found
        if each.package not in allowed and not (each.within_function and each.package in later)
    ]
    assert not wrong


def test_what_is_allowed_is_used():
    """A list of what is allowed is no use if it allows more than there is."""
    for package, allowed in MAY_IMPORT.items():
        found = {each.package for path in (ROOT / package).rglob("*.py") for each in imports_of(path)}
        assert found >= allowed | WITHIN_FUNCTIONS.get(package, set()), package


@pytest.mark.parametrize("group", WITHOUT, ids=lambda group: "-".join(group))
def test_what_is_imported_with_packages(group):
    command = [sys.executable, "-c", IMPORT_ALL, json.dumps(group)]
    run = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    assert run.returncode == 0, run.stderr


def test_the_names_of_the_package_are_seen_without_importing_them():
    code = "import mutascope, sys; print(*dir(mutascope)); print('torch' in sys.modules, 'polars' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names, loaded = run.stdout.splitlines()
    assert {"open", "Screen", "Design", "load_model"} <= set(names.split())
    assert loaded == "False False"
