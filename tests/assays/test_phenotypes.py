"""From outputs to records: phenotypes, silence, first divergence, several prompts, named numbers."""

import hashlib
import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutascope import Mutant, TextAssay
from mutascope.assays import ResolvedAssay
from mutascope.assays.phenotype import PhenotypeReader, content_hash
from mutascope.core.protocol import Outcome, Output, Prompt, first_divergence
from mutascope.store import ScreenFolder

tokens = st.lists(st.integers(0, 3), max_size=6).map(tuple)
ASSAY = TextAssay(name="t", prompt="Hi", max_new_tokens=4)
C3, A9, A8 = 98, 99, 100  # tokens of single bytes; C3 A9 is é


@given(wild=tokens, mutant=tokens, finite=st.booleans())
def test_first_divergence_is_where_the_tokens_part(wild, mutant, finite):
    found = first_divergence(Output(wild), Output(mutant, finite=finite))
    if found is None:
        assert wild == mutant
        assert finite
    else:
        assert wild[:found] == mutant[:found]
        if found < min(len(wild), len(mutant)):
            assert wild[found] != mutant[found]
        else:
            assert len(wild) != len(mutant) or not finite


def reader_of(llama, wild: tuple[Output, ...], prompts: tuple[str, ...] = ("Hi",)) -> PhenotypeReader:
    resolved = ASSAY.resolve(llama)
    ids = tuple(Prompt(text, tuple(llama.tokenizer(text).input_ids)) for text in prompts)
    return PhenotypeReader(llama, ResolvedAssay(ASSAY, ids, resolved.readout), wild)


def test_different_tokens_with_the_same_text_are_silent_and_still_diverge(llama):
    """A lone lead byte and a lone continuation byte both decode to the replacement character."""
    assert llama.tokenizer.decode([A9]) == llama.tokenizer.decode([A8]) == "\ufffd"
    reader = reader_of(llama, (Output((40, A9)),))
    same, text, other = (Mutant(0, "q", 0, col, "max") for col in range(3))
    outcomes = [
        Outcome(same, (Output((40, A9)),)),
        Outcome(text, (Output((40, A8)),)),
        Outcome(other, (Output((40, 41)),)),
    ]
    records = reader.shard(outcomes).records
    assert records["silent"].to_list() == [True, True, False]
    assert records["first_divergence"].to_list() == [None, 1, 1]
    assert [reader.is_silent(outcome) for outcome in outcomes] == [True, True, False]


def test_a_phenotype_is_the_hash_of_its_text(llama):
    reader = reader_of(llama, (Output((40,)),))
    shard = reader.shard([Outcome(Mutant(0, "q", 0, 0, "max"), (Output((41, 1)),))])
    text = llama.tokenizer.decode([0, *llama.tokenizer("Hi").input_ids[1:], 41, 1])
    assert text.endswith("</s>")
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    assert shard.phenotypes.rows() == [(digest, text, text.removeprefix("<s>Hi").removesuffix("</s>"))]
    assert shard.records.row(0, named=True)["phenotype"] == digest
    assert shard.outputs is None


def test_a_non_finite_output_is_never_silent(llama):
    reader = reader_of(llama, (Output((40, 41)),))
    outcomes = [
        Outcome(Mutant(0, "q", 0, i, "max"), (Output(broken, finite=False),))
        for i, broken in enumerate([(), (40,), (40, 41), (7,)])
    ]
    shard = reader.shard(outcomes)
    assert shard.records["phenotype"].unique().to_list() == ["non-finite"]
    assert not shard.records["silent"].any()
    assert shard.records["first_divergence"].to_list() == [0, 1, 2, 0]
    assert shard.phenotypes.rows() == [("non-finite", None, None)]
    assert not any(reader.is_silent(outcome) for outcome in outcomes)


def test_a_text_is_decoded_once(llama, monkeypatch):
    reader = reader_of(llama, (Output((40, 41)),))
    decoded = []
    decode = llama.tokenizer.decode
    monkeypatch.setattr(
        llama.tokenizer, "decode", lambda tokens, **how: decoded.append(tokens) or decode(tokens, **how)
    )
    outcomes = [
        Outcome(Mutant(0, "q", 0, i, "max"), (Output(tokens),)) for i, tokens in enumerate([(40, 41), (7,)])
    ]
    assert [reader.is_silent(outcome) for outcome in outcomes] == [True, False]
    shard = reader.shard(outcomes)
    assert shard.records["silent"].to_list() == [True, False]
    assert [tokens[-1] for tokens in decoded] == [7, 7]  # with its prompt, and alone


def test_lone_surrogates_have_a_hash():
    assert len(content_hash("\ud800")) == 32
    assert content_hash(None) == "non-finite"


@pytest.fixture
def several(llama) -> tuple[PhenotypeReader, list[Outcome]]:
    """An assay of three prompts with named numbers, and three mutants."""
    wild = tuple(Output((40 + i,), values={"p_a": 0.5}) for i in range(3))
    reader = reader_of(llama, wild, ("Hi", "Ho", "He"))
    outcomes = [
        Outcome(Mutant(0, "q", 0, 0, "max"), wild),
        Outcome(Mutant(0, "q", 0, 0, "min"), (wild[0], Output((50, 51), values={"p_a": 0.25}), wild[2])),
        Outcome(
            Mutant(1, "v", 2, 3, "max"),
            (Output((), finite=False, values={"p_a": math.nan}), wild[1], Output((9,), values={"p_a": 1.0})),
        ),
    ]
    return reader, outcomes


@pytest.mark.parametrize("where", ["local", "memory"])
def test_several_prompts_and_named_numbers_survive_the_store(several, where, tmp_path):
    reader, outcomes = several
    folder = ScreenFolder(tmp_path / "screen" if where == "local" else f"memory://{tmp_path.name}")
    folder.write_unit("000000", reader.shard(outcomes[:2]))
    folder.write_unit("000001", reader.shard(outcomes[2:]))

    records = folder.records()
    assert records["silent"].to_list() == [True, False, False]
    assert records["first_divergence"].to_list() == [None, 0, 0]
    assert records["phenotype"].n_unique() == 3
    outputs = folder.outputs()
    assert outputs.columns == [
        "layer",
        "kind",
        "row",
        "col",
        "mutation",
        "prompt",
        "first_divergence",
        "phenotype",
        "p_a",
    ]
    assert outputs["prompt"].to_list() == [0, 1, 2] * 3
    assert outputs["first_divergence"].to_list() == [None, None, None, None, 0, None, 0, None, 0]
    assert outputs["p_a"].to_list()[3:6] == [0.5, 0.25, 0.5]
    assert math.isnan(outputs["p_a"][6])
    last = outputs.filter(layer=1, kind="v", row=2, col=3, mutation="max")
    assert len(last) == 3
    texts = dict(folder.phenotypes().select("phenotype", "text").iter_rows())
    wild = [reader.model.tokenizer.decode([*p.tokens, 40 + i]) for i, p in enumerate(reader.assay.prompts)]
    assert [texts[key] for key in outputs["phenotype"][:3]] == wild
    assert texts[outputs["phenotype"][6]] is None
    # the phenotype of a mutant is that of its outputs, in order
    assert texts[records["phenotype"][0]].split("\n") == outputs["phenotype"][:3].to_list()
    assert folder.finished_units() == {"000000", "000001"}
    folder.check_units(folder.finished_units(), {"000000": 2, "000001": 1})


def test_the_same_outputs_on_other_prompts_are_another_phenotype(llama):
    wild = (Output((40,)), Output((40,)))
    reader = reader_of(llama, wild, ("Hi", "Hi"))
    first, second = (
        Outcome(Mutant(0, "q", 0, 0, "max"), (Output((41,)), Output((40,)))),
        Outcome(Mutant(0, "q", 0, 0, "min"), (Output((40,)), Output((41,)))),
    )
    records = reader.shard([first, second]).records
    assert records["phenotype"].n_unique() == 2
    assert records["silent"].to_list() == [False, False]


def test_the_numbers_of_one_prompt_are_columns_of_the_record(llama):
    reader = reader_of(llama, (Output((40,), values={"margin": 1.5}),))
    shard = reader.shard([Outcome(Mutant(0, "q", 0, 0, "max"), (Output((41,), values={"margin": -0.5}),))])
    assert shard.outputs is None
    assert shard.records["margin"].to_list() == [-0.5]
    assert shard.records.schema["margin"] == pl.Float32
