"""Sums of floats depend on their order: groups and joins keep that of the rows, so that tables have equal bits."""

import ast
from pathlib import Path

import pytest

import mutascope

ROOT = Path(mutascope.__file__).parent
FILES = sorted((*ROOT.glob("analysis/*.py"), *ROOT.glob("findings/*.py")))


def unordered(source: str) -> list[int]:
    """Lines of the calls of ``group_by``, and of ``join`` of frames, that leave the order to chance."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        stated = {keyword.arg: keyword.value for keyword in node.keywords}
        grouped = node.func.attr == "group_by"
        joined = node.func.attr == "join" and "on" in stated
        if joined and ast.unparse(stated.get("how", ast.Constant("inner"))) in ("'semi'", "'anti'"):
            continue  # these are filters
        if (grouped or joined) and "maintain_order" not in stated:
            found.append(node.lineno)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_groups_and_joins_keep_the_order_of_the_rows(path):
    assert unordered(path.read_text()) == []


def test_what_leaves_the_order_to_chance():
    source = "a.group_by('x')\na.join(b, on='x')\na.join(b, on='x', how='semi')\n', '.join(c)\n"
    assert unordered(source) == [1, 2]
