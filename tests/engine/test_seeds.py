"""Several seeds: mutants are measured along the wild type's texts of all, and both engines agree to the bit."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import polars as pl
import pytest

from mutascope import Design, MutascopeError, Screen, Tiling
from mutascope.assays import TextAssay
from mutascope.core.schema import MUTANT_KEY
from mutascope.engine.fast import FastEngine
from mutascope.store.reader import ScreenData

SEEDS = (4, 1, 9)
STATED = {"name": "t", "prompt": "The life cycle", "max_length": 20, "temperature": 0.7}
DESIGN = Design(sample=10, mutations=("max", "zero", "noop"))


@pytest.fixture(scope="module")
def screened(llama, tmp_path_factory) -> dict[str, ScreenData]:
    """A screen of three seeds by either engine, and one of each seed alone."""
    folder, found = tmp_path_factory.mktemp("seeds"), {}
    several = TextAssay(**STATED, seeds=SEEDS)
    assays = {"fast": several, "reference": several} | {
        str(seed): TextAssay(**STATED, seed=seed) for seed in SEEDS
    }
    for name, assay in assays.items():
        engine = "reference" if name == "reference" else "fast"
        screen = Screen(llama, assay, DESIGN, tile=2, engine=engine, measure=True)
        screen.run(folder / name, quiet=True)
        found[name] = screen.results
    return found


def test_engines_have_the_same_records_and_texts(screened):
    fast, reference = screened["fast"], screened["reference"]
    assert fast.records().equals(reference.records())
    assert fast.manifest.further_wild_types == reference.manifest.further_wild_types
    assert [output.seed for output in fast.manifest.further_wild_types] == [1, 9]
    assert all(output.margins and output.pieces for output in fast.manifest.further_wild_types)


def test_the_records_are_those_of_the_first_seed_and_the_columns_those_of_the_others(screened):
    records = screened["fast"].records()
    alone = screened["4"].records()
    assert records.select(alone.columns).equals(alone)
    for place, seed in enumerate(SEEDS[1:]):
        other = screened[str(seed)]
        wild, told = other.manifest.wild_type[0], screened["fast"].manifest.further_wild_types[place]
        assert told.tokens == wild.tokens
        assert told.margins == wild.margins
        kept = other.records()
        assert records[f"silence_{seed}"].to_list() == kept["silence"].to_list()
        assert records[f"first_divergence_{seed}"].to_list() == kept["first_divergence"].to_list()
    assert records.schema["first_divergence_9"] == pl.Int32
    own = records.select("silence", "silence_1", "silence_9").iter_rows()
    assert records["mean_silence"].to_list() == pytest.approx([fmean(row) for row in own])
    assert set(records.filter(mutation="noop")["mean_silence"]) == {1.0}
    assert records["mean_silence"].n_unique() > 10


def test_no_record_depends_on_the_batch(llama, screened):
    resolved = TextAssay(**STATED, seeds=SEEDS).resolve(llama, measure=True)
    mutants = DESIGN.plan(llama.genome, Tiling(2)).mutants()
    for batch in (1, 7):
        session = FastEngine(llama, Tiling(2), batch).prepare(resolved.prompts, resolved.readout)
        found = {outcome.mutant: outcome.outputs[0].values for outcome in session.run(mutants[::-1])}
        for row in screened["fast"].records().iter_rows(named=True):
            values = found[next(m for m in mutants if all(getattr(m, k) == row[k] for k in MUTANT_KEY))]
            assert values["first_divergence_9"] == row["first_divergence_9"]
            assert pl.Series([values["silence_9"]], dtype=pl.Float32)[0] == row["silence_9"]


def test_an_interrupted_screen_goes_on_and_another_seed_is_another_screen(llama, tmp_path: Path):
    assay, design = TextAssay(**STATED, seeds=SEEDS), Design(sample=4)
    screen = Screen(llama, assay, design, tile=2)
    screen.run(tmp_path / "s", quiet=True)
    whole = screen.records()
    (unit,) = screen.home.finished_units()
    (tmp_path / "s/records" / f"{unit}.parquet").unlink()
    again = Screen(llama, assay, design, tile=2)
    assert again.run(tmp_path / "s", quiet=True).fresh == len(whole)
    assert again.records().equals(whole)
    assert Screen.reopen(again.results).resolved.readout == screen.resolved.readout
    other = assay.model_copy(update={"seeds": (4, 1, 2)})
    with pytest.raises(MutascopeError, match=r"assay\.seeds is"):
        Screen(llama, other, design, tile=2).run(tmp_path / "s", quiet=True)


def test_what_is_stored_of_the_further_texts_must_come_out_again(llama, tmp_path: Path):
    screen = Screen(llama, TextAssay(**STATED, seeds=SEEDS), Design(sample=1), tile=2)
    screen.run(tmp_path / "s", quiet=True)
    with screen.home.changed_manifest() as manifest:
        manifest.further_wild_types[1].tokens[-1] += 1
    with pytest.raises(MutascopeError, match="is not reproduced here"):
        screen.check_wild_type(screen.home.manifest())


@pytest.mark.parametrize(
    "stated, said",
    [
        ({"seeds": [0, 0]}, "must differ"),
        ({"seeds": "5"}, "two or more"),
        ({"seeds": "a"}, "list of numbers"),
        ({"seeds": "0-3", "greedy": True, "temperature": None}, "greedy takes no seeds"),
    ],
)
def test_seeds_that_make_no_sense_are_refused(stated, said):
    with pytest.raises(Exception, match=said):
        TextAssay(**{**STATED, **stated})


def test_the_first_of_the_seeds_is_that_of_the_assay():
    assay = TextAssay.model_validate({**STATED, "seed": 7, "seeds": "2-4"})
    assert (assay.seed, assay.further) == (2, (3, 4))
    assert TextAssay.model_validate(assay.model_dump(mode="json", exclude_none=True)) == assay
