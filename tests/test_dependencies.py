"""Every package that the sources import is declared in pyproject.toml."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted((ROOT / "src").rglob("*.py*"))


def imported(source: str) -> set[str]:
    """Return the top-level names that a module imports, those of ``import_module("...")`` included."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                names |= {alias.name for alias in node.names}
            case ast.ImportFrom(module=str(module), level=0):
                names.add(module)
            case ast.Call(func=ast.Name("import_module") | ast.Attribute(attr="import_module")):
                names |= {
                    a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)
                }
    return {name.partition(".")[0] for name in names}


def declared() -> set[str]:
    """Return the names of all dependencies and extras, in the form that compares."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    return {normal(re.findall(r"^[\w.-]+", line)[0]) for line in lines}


def test_what_a_build_imports_is_there_when_a_wheel_is_built():
    """hatch_build.py imports mutascope in an environment that has what [build-system] names, and nothing else."""
    told = (
        "import sys; before = {*sys.modules}; import mutascope.numerics.build;"
        "print(*{name.partition('.')[0] for name in {*sys.modules} - before})"
    )
    printed = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout
    system = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]
    there = {normal(re.findall(r"^[\w.-]+", line)[0]) for line in system["requires"]}
    used = {normal(name) for name in {*printed.split()} - sys.stdlib_module_names - {"mutascope"}}
    assert used <= there


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_import_is_declared():
    providers = packages_distributions()
    known = declared()
    missing = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in MODULES
        if path.suffix in (".py", ".pyi")
        for name in imported(path.read_text()) - sys.stdlib_module_names - {"mutascope"}
        if not {normal(each) for each in providers.get(name, [name])} & known
    }
    assert not missing


@pytest.mark.parametrize(
    "source, names",
    [
        ("import a.b, c", {"a", "c"}),
        ("from d.e import f\nfrom . import g\nfrom .h import i", {"d"}),
        ("def late():\n    return importlib.import_module('j.k'), import_module('l')", {"j", "l"}),
    ],
)
def test_imports_are_found(source, names):
    assert imported(source) == names
