"""Options that verbs share."""

from __future__ import annotations

import importlib.metadata
import re

import pytest
import typer.main

from mutascope import load_model
from mutascope.cli.main import app
from mutascope.core.operators import OPERATORS

COMMANDS = typer.main.get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]
LOADING = {"--device", "--allow-pickle", "--trust-remote-code"}
RUNNING = LOADING | {"--dtype", "--numerics"}


def options(verb: str) -> dict[str, str | None]:
    """Help texts by option."""
    return {name: getattr(p, "help", None) for p in COMMANDS[verb].params for name in p.opts}


@pytest.mark.parametrize("verb", ["screen", "predict"])
def test_a_verb_that_runs_a_model_says_how(verb):
    assert set(options(verb)) >= RUNNING


@pytest.mark.parametrize("verb", ["show", "verify", "panel", "explore", "lm-eval"])
def test_a_verb_that_loads_the_model_of_a_screen_takes_its_dtype_and_numerics(verb):
    assert set(options(verb)) >= LOADING
    assert not set(options(verb)) & (RUNNING - LOADING)


def test_an_option_says_the_same_in_every_verb():
    for verb in ("predict", "show", "verify", "panel", "explore", "lm-eval"):
        mine, theirs = options(verb), options("screen")
        for name in (RUNNING | {"--engine", "--layers", "--tile"}) & set(mine):
            assert mine[name] == theirs[name], (verb, name)


def test_every_option_is_explained():
    for verb in COMMANDS:
        for name, told in options(verb).items():
            assert told or not name.startswith("-"), (verb, name)


def test_samples_are_of_sites():
    for verb in ("screen", "predict"):
        assert "number of sites" in (options(verb)["--sample"] or "")


def test_help_names_the_operators_that_there_are():
    told = options("screen")["--mutations"] or ""
    assert all(re.search(rf"\b{name}\b", told) for name in OPERATORS)
    assert "default max,min" in told
    assert "default max,min,zero" in (options("predict")["--mutations"] or "")


def test_the_version_is_said(cli):
    done = cli("--version")
    assert (done.code, done.out) == (0, f"mutascope {importlib.metadata.version('mutascope')}\n")


@pytest.mark.parametrize("verb", ["screen", "predict"])
def test_how_a_model_is_loaded_reaches_the_loader(cli, monkeypatch, tmp_path, llama_folder, verb):
    told = {}

    def load(name, **options):
        told.update(options)
        return load_model(str(llama_folder), dtype="bfloat16")

    monkeypatch.setattr("mutascope.run.job.load_model", load)
    (tmp_path / "a.yaml").write_text("prompt: hello\nmax_new_tokens: 3\n")
    chosen = ("--device", "cpu", "--dtype", "bfloat16", "--allow-pickle", "--trust-remote-code")
    small = ("--kinds", "v", "--layers", 0, "--tile", 24, "--sample", 1, "--numerics", "stock")
    done = cli(verb, "--assay", tmp_path / "a.yaml", *chosen, *small, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert told == {
        "device": "cpu",
        "dtype": "bfloat16",
        "allow_pickle": True,
        "trust_remote_code": True,
    }
