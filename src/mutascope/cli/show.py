"""``mutascope show``: one mutant, its text against the wild type's."""

from __future__ import annotations

from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import polars as pl
import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from mutascope.analysis.diff import diff_to_rich, word_diff
from mutascope.analysis.subjects import subject_scores
from mutascope.cli import options
from mutascope.core.errors import MutascopeError
from mutascope.core.genome import Mutant
from mutascope.core.operators import check_mutations
from mutascope.store.reader import ScreenData

if TYPE_CHECKING:
    from mutascope.engine.reference import ReferenceSession
    from mutascope.run.screen import Screen

_TERMS = 12
"""Tokens that ``--terms`` shows."""
_LETTERS_IN_LINE = 5
"""Choices whose probabilities fit into 80 characters."""


def show(
    folder: options.Folder,
    mutant: Annotated[str, typer.Argument(help="such as 15.down:3,7:max")],
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="run it on the reference engine; compare it with its record, where there is one"
        ),
    ] = False,
    terms: Annotated[
        bool,
        typer.Option("--terms", help="say at which tokens its chance of silence is lost; needs the model"),
    ] = False,
    page: Annotated[
        Path | None, typer.Option(help="write its outputs on the panel of the screen as an HTML page")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="write the mutated model to this folder")] = None,
    device: options.Device = None,
    allow_pickle: options.AllowPickle = False,
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Show a mutant's text as a word diff against the wild type's."""
    wanted = Mutant.parse(mutant)
    results = ScreenData(folder)
    if page is not None:
        write_page(results, wanted, page)
        return
    if terms and results.manifest.assay.type != "text":
        raise MutascopeError(
            f"--terms is of text assays, and {folder} is of a {results.manifest.assay.type} assay"
        )
    record = results.record(wanted) if has_record(results, wanted) or not check else None
    if record is not None:
        print_record(results, wanted, record, results.outputs_of(wanted))
    if check or terms or save is not None:
        loading = {"device": device, "allow_pickle": allow_pickle, "trust_remote_code": trust_remote_code}
        _with_model(results, wanted, record, loading, check=check, terms=terms, save=save)


def has_record(results: ScreenData, mutant: Mutant) -> bool:
    """Whether the screen has run a mutant."""
    return not results.records().filter(**asdict(mutant)).is_empty()


def print_record(results: ScreenData, mutant: Mutant, record: dict[str, Any], outputs: pl.DataFrame) -> None:
    """Print the record of a mutant and what it says.

    Args:
        results: of the screen.
        mutant: that it is of.
        record: with its ``text``.
        outputs: a row per prompt, with ``text``, where the assay keeps them.
    """
    console = Console(highlight=False)
    silent = "silent" if record["silent"] else f"NSM, first divergence at token {record['first_divergence']}"
    chance = record.get("silence")
    told = "" if chance is None else f", silent with a chance of {chance:.2g} over the noise"
    console.print(Text(f"{mutant}: {silent}{told}, phenotype {record['phenotype']}"), soft_wrap=True)
    if results.manifest.assay.type == "choice" and results.manifest.prompts:
        if results.manifest.pooled:
            text = pl.DataFrame({"phenotype": [record["phenotype"]], "text": [record["text"]]})
            console.print(subjects_table(results, text))
        console.print(answers_table(results, outputs, changed=results.manifest.pooled))
    elif results.manifest.assay.type == "panel":
        wild = [output.phenotype for output in results.manifest.wild_type]
        differing = sum(a != b for a, b in zip(outputs["phenotype"], wild, strict=True))
        console.print(f"{differing} of {len(wild)} outputs differ; read them with --page FILE.html")
    elif record["text"] is None:
        console.print("non-finite: a step had a NaN or infinite logit, there is no text")
    else:
        console.print(diff_to_rich(word_diff(results.wild_type, record["text"])), soft_wrap=True)


def write_page(results: ScreenData, mutant: Mutant, page: Path) -> None:
    """Write the outputs of a mutant on a panel (the folder's own, or the one stored with a screen)."""
    from mutascope.report.panel import panel_page

    panel = (
        results
        if results.manifest.assay.type == "panel"
        else ScreenData(f"{results.folder.path.rstrip('/')}/panel")
    )
    try:
        page.write_text(panel_page(panel, mutant), encoding="utf-8")
    except OSError as error:
        raise MutascopeError(f"{page} cannot be written: {error.strerror}") from error
    typer.echo(f"{page}: {mutant} on {len(panel.manifest.prompts)} prompts")


def subjects_table(results: ScreenData, said: pl.DataFrame) -> Table:
    """Return the right answers of a mutant (its phenotype and text) by subject, beside the wild type's."""
    prompts = results.manifest.prompts
    phenotype = said["phenotype"][0]
    wild = pl.DataFrame({"phenotype": ["wild type"], "text": [results.wild_type]})
    scores = subject_scores(
        pl.concat([said, wild]),
        [prompt.key or "" for prompt in prompts],
        [prompt.subject or "" for prompt in prompts],
    )
    mutant, unchanged = (scores.filter(phenotype=name) for name in (phenotype, "wild type"))
    table = Table(
        "subject", *(Column(name, justify="right") for name in ("questions", "wild type", "mutant"))
    )
    both = mutant.select("subject", "questions", was=unchanged["score"], score="score")
    for subject, *numbers in both.iter_rows():
        table.add_row(Text(subject), *map(str, numbers))
    return table


def answers_table(results: ScreenData, outputs: pl.DataFrame, *, changed: bool = False) -> Table:
    """Return the answers of a mutant beside the wild type's and the key, with the probabilities of the choices.

    ``outputs`` are the mutant's, with their text. Where they are too many for a line, the probabilities are those of
    the key and of the two answers. ``changed`` leaves out the answers that are the wild type's.
    """
    letters = results.manifest.letters or []
    few = len(letters) <= _LETTERS_IN_LINE
    chances = letters if few else ("key", "wild type", "mutant")
    columns = [Column(f"p({told})", min_width=5) for told in chances]
    table = Table("question", "key", "wild type", "mutant", *columns)
    wild = results.wild_type.split("\n")
    for row in outputs.iter_rows(named=True):
        prompt = results.manifest.prompts[row["prompt"]]
        said = "non-finite" if row["text"] is None else row["text"]
        if changed and said == wild[row["prompt"]]:
            continue
        change = "" if said == wild[row["prompt"]] else "bold red"
        cells = [str(prompt.question), prompt.key, wild[row["prompt"]]]
        shown = letters if few else [*cells[1:], said]
        chances = [_chance(row.get(f"p_{answer}")) for answer in shown]
        table.add_row(*(Text(cell) for cell in cells), Text(said, style=change), *chances)
    return table


def terms_table(results: ScreenData, terms: list[float]) -> Table:
    """Return the tokens of the wild type's text at which a mutant is most likely to leave it, in their order.

    Args:
        results: of a text assay.
        terms: chance of every token, or margin in logits where the choice is greedy.

    Raises:
        MutascopeError: when there are no terms.
    """
    if not terms:
        raise MutascopeError(
            "the chance of silence is not known with the sampling of this screen: leave out --terms"
        )
    greedy, wild = results.manifest.assay.stated.get("greedy"), results.manifest.wild_type[0]
    told = "margin of the mutant, logits" if greedy else "chance that it is kept"
    whole = f"smallest {min(terms):.3g}" if greedy else f"all {len(terms)} tokens: {prod(terms):.3g}"
    table = Table("token", "text", "margin of the wild type", told, caption=whole)
    least = sorted(sorted(range(len(terms)), key=terms.__getitem__)[:_TERMS])
    for token in least:
        piece = repr(wild.pieces[token]) if wild.pieces else ""
        margin = f"{wild.margins[token]:.3g}" if wild.margins else ""
        table.add_row(str(token), Text(piece), margin, f"{terms[token]:.3g}")
    return table


def _chance(probability: float | None) -> str:
    """Return a probability as shown; nothing for an answer that is no choice, or not finite."""
    return "" if probability is None else f"{probability:.3f}"


def _with_model(
    results: ScreenData,
    mutant: Mutant,
    record: dict[str, Any] | None,
    loading: dict[str, Any],
    *,
    check: bool,
    terms: bool,
    save: Path | None,
) -> None:
    if save is not None and save.exists() and not (save.is_dir() and not any(save.iterdir())):
        raise MutascopeError(f"{save} is not an empty folder: choose another one for the mutated model")
    from mutascope.run.screen import Screen

    screen = Screen.reopen(results, **loading)
    session = screen.reference.prepare(screen.resolved.prompts, screen.resolved.readout)
    if terms:
        screen.check_numerics(results.manifest)
        Console(highlight=False).print(terms_table(results, session.terms(mutant)))
    if check:
        _check(results, screen, session, mutant, record)
    if save is not None:
        with screen.mutant(mutant) as network:
            network.save_pretrained(save)
        screen.model.tokenizer.save_pretrained(save)
        typer.echo(f"{save}: the model with {mutant}, loads with AutoModelForCausalLM.from_pretrained")


def _check(
    results: ScreenData,
    screen: Screen,
    session: ReferenceSession,
    mutant: Mutant,
    record: dict[str, Any] | None,
) -> None:
    """Run a mutant on the reference engine: compare it with its record, or else print what it says."""
    from mutascope.assays.phenotype import PhenotypeReader

    screen.check_numerics(results.manifest)
    check_mutations([mutant.mutation])
    screen.model.genome.check_mutant(mutant, screen.tiling)
    (outcome,) = session.run([mutant])
    shard = PhenotypeReader(screen.model, screen.resolved, session.wild_type).shard([outcome])
    again = shard.records.row(0, named=True)
    if record is None:
        said = shard.phenotypes
        text = said.filter(phenotype=again["phenotype"])["text"][0]
        outputs = (
            pl.DataFrame()
            if shard.outputs is None
            else shard.outputs.join(said, on="phenotype", maintain_order="left")
        )
        print_record(results, mutant, {**again, "text": text}, outputs)
        typer.echo("this is what the reference engine says; the screen has no record of it")
        return
    differing = [name for name in ("silent", "first_divergence", "phenotype") if again[name] != record[name]]
    if differing:
        raise MutascopeError(
            f"{mutant} is not reproduced by the reference engine: "
            + ", ".join(
                f"{name} is stored as {record[name]} and came out as {again[name]}" for name in differing
            )
        )
    typer.echo("checked: the reference engine gives the same record")
