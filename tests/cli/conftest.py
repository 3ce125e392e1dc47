"""Refusals: fixtures of the files on bad input."""

from pathlib import Path

import pytest
from refusals import ASSAY, check_refused, tree


@pytest.fixture
def in_an_empty_folder(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def refused(cli, llama_folder, tmp_path):
    """Runs ``mutascope screen`` on the tiny Llama with changed options; it must be refused and write nothing."""
    (tmp_path / "short.yaml").write_text(ASSAY)  # what is not refused after all is over soon

    def run(*words: str, **options: object) -> str:
        base = {"model": llama_folder, "assay": tmp_path / "short.yaml", "tile": 48, "out": "out"}
        chosen = {key: value for key, value in {**base, **options}.items() if value is not None}
        before = tree(), sorted(Path().iterdir())
        result = cli("screen", *(w for key, value in chosen.items() for w in (f"--{key}", value)))
        assert (tree(), sorted(Path().iterdir())) == before
        return check_refused(result, *words)

    return run
