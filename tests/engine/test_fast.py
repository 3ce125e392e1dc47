"""The fast engine against the truth, mutant by mutant."""

from __future__ import annotations

import tempfile
from collections import Counter

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import tiny_model
from mutascope.assays import TextAssay
from mutascope.core.design import Design
from mutascope.core.errors import Unsupported
from mutascope.core.genome import Mutant, Tiling
from mutascope.core.protocol import Generation
from mutascope.engine.fast import FastEngine
from mutascope.engine.reference import ReferenceEngine
from mutascope.model.generation import unsupported_fields
from mutascope.model.loading import Model, load_model

MUTATIONS = ("max", "min", "zero", "noop", "random")
FIXED = settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck(each) for each in HealthCheck]
)


def disagreements(
    model: Model, assay: TextAssay, design: Design, tile: int, max_batch: int
) -> tuple[list[str], int]:
    """Mutants on which the engines differ, and how many of the mutants are silent."""
    tiling, resolved = Tiling(tile), assay.resolve(model)
    mutants = design.plan(model.genome, tiling).mutants()
    asked = (resolved.prompts, resolved.readout)
    fast = FastEngine(model, tiling, max_batch).prepare(*asked)
    reference = ReferenceEngine(model, tiling).prepare(*asked)
    found = {o.mutant: o.outputs for o in fast.run(mutants)}
    assert len(found) == len(mutants)
    truth = {o.mutant: o.outputs for o in reference.run(mutants)}
    silent = sum(outputs == reference.wild_type for outputs in truth.values())
    return [str(m) for m in mutants if found[m] != truth[m]], silent


SAMPLING = st.one_of(
    st.just({"greedy": True}),
    st.fixed_dictionaries(
        {"temperature": st.sampled_from([0.4, 0.7, 1.0, 1.6]), "top_k": st.sampled_from([0, 1, 5, 50, 500])},
        optional={
            "top_p": st.sampled_from([0.3, 0.8, 0.95, 1.0]),
            "min_p": st.sampled_from([0.0, 0.02, 0.3]),
        },
    ),
)


def test_a_pass_may_end_within_a_long_prompt(tmp_path):
    """Many rows make short passes; the first of them here holds no token to pick."""
    model = load_model(str(tiny_model(tmp_path, "llama", vocab_size=4200)), device="cpu")
    assay = TextAssay(
        name="t", prompt="a b c d e f g h i j k l m n o p q r", max_new_tokens=3, temperature=0.7
    )
    different, _ = disagreements(model, assay, Design(layers=(0,), kinds=("v", "o")), tile=6, max_batch=64)
    assert different == []


@FIXED
@given(
    family=st.sampled_from(["llama", "mistral", "qwen2", "qwen3"]),
    dtype=st.sampled_from(["float32", "bfloat16"]),
    seed=st.integers(0, 10_000),
    heads=st.sampled_from([(4, 4), (4, 2), (6, 1), (3, 3)]),
    head_dim=st.sampled_from([4, 10]),
    intermediate=st.integers(9, 70),
    tied=st.booleans(),
    window=st.sampled_from([None, 5, 20]),
    vocabulary=st.sampled_from([None, 4200]),
    ends=st.lists(st.integers(1, 90), min_size=1, max_size=6),
    tile=st.integers(1, 40),
    sampling=SAMPLING,
    prompt=st.text("abc XYZ", min_size=1, max_size=30),
    length=st.integers(1, 40),
    max_batch=st.integers(1, 20),
)
def test_every_outcome_equals_the_reference_engines(
    family,
    dtype,
    seed,
    heads,
    head_dim,
    intermediate,
    tied,
    window,
    vocabulary,
    ends,
    tile,
    sampling,
    prompt,
    length,
    max_batch,
):
    changes = {
        "num_attention_heads": heads[0],
        "num_key_value_heads": heads[1],
        "hidden_size": heads[0] * head_dim,
        "intermediate_size": intermediate,
        "tie_word_embeddings": tied,
    }
    if vocabulary:  # large enough for shortlists
        changes["vocab_size"] = vocabulary
    if family != "qwen2":
        changes["head_dim"] = head_dim
    if family == "mistral":
        changes["sliding_window"] = window
    if family in ("qwen2", "qwen3") and window:
        changes |= {"use_sliding_window": True, "sliding_window": window, "max_window_layers": 1}
    with tempfile.TemporaryDirectory() as folder:
        model = load_model(
            str(tiny_model(folder, family, seed, std=0.2, generation={"eos_token_id": ends}, **changes)),
            device="cpu",
            dtype=dtype,
        )
        assay = TextAssay(name="t", prompt=prompt, seed=seed, max_new_tokens=length, **sampling)
        design = Design(sample=6, sample_seed=seed, mutations=MUTATIONS)
        different, _ = disagreements(model, assay, design, tile, max_batch)
    assert different == []


@pytest.fixture(scope="module")
def llama(tmp_path_factory) -> Model:
    return load_model(str(tiny_model(tmp_path_factory.mktemp("llama"), "llama", 3, std=0.15)), device="cpu")


@pytest.mark.parametrize("sampling", [{"temperature": 0.7}, {"greedy": True}])
def test_a_complete_locus_has_silent_and_loud_mutants_and_all_agree(llama, sampling):
    assay = TextAssay(name="t", prompt="The life cycle", seed=1, max_length=30, **sampling)
    design = Design(layers=(1,), kinds=("v",), cols=(0, 4, 9), mutations=MUTATIONS)
    different, silent = disagreements(llama, assay, design, tile=5, max_batch=16)
    assert different == []
    assert 0 < silent < 5 * len(MUTATIONS) * 3


def test_non_finite_mutants_are_found_and_do_not_touch_their_neighbours(tmp_path):
    model = load_model(str(tiny_model(tmp_path, "llama", 5, std=0.15)), device="cpu")
    tiling = Tiling(9)
    assay = TextAssay(name="t", prompt="abc", seed=1, max_length=12, temperature=0.7).resolve(model)
    with torch.no_grad():  # alone it is harmless, a tile of it overflows
        model.network.get_parameter("model.layers.1.mlp.down_proj.weight")[0, 0] = 1e38
    reference = ReferenceEngine(model, tiling).prepare(assay.prompts, assay.readout)
    assert reference.wild_type[0].finite
    design = Design(layers=(1,), kinds=("down", "up"), rows=(0, 1), cols=(0, 1, 2), mutations=("max", "zero"))
    mutants = design.plan(model.genome, tiling).mutants()
    truth = {o.mutant: o.outputs for o in reference.run(mutants)}
    session = FastEngine(model, tiling, 8).prepare(assay.prompts, assay.readout)
    assert {o.mutant: o.outputs for o in session.run(mutants)} == truth
    assert any(not outputs[0].finite for outputs in truth.values())
    assert any(outputs[0].finite for outputs in truth.values())


def test_a_wild_type_that_breaks_off_is_refused(tmp_path):
    model = load_model(str(tiny_model(tmp_path, "llama", 5, std=0.15)), device="cpu")
    assay = TextAssay(name="t", prompt="abc", max_length=12, greedy=True).resolve(model)
    reference = ReferenceEngine(model, Tiling(9))
    first = reference.prepare(assay.prompts, assay.readout).wild_type[0].tokens[0]
    with torch.no_grad():  # finite on the prompt, NaN once the first token has been fed
        model.network.get_parameter("model.embed_tokens.weight")[first] = torch.nan
    (wild,) = reference.prepare(assay.prompts, assay.readout).wild_type
    assert not wild.finite
    assert wild.tokens == (first,)
    with pytest.raises(Unsupported, match="wild type puts out NaN or inf"):
        FastEngine(model, Tiling(9)).prepare(assay.prompts, assay.readout)


def test_mutants_that_say_the_same_share_the_layers_below_their_mutations(llama):
    tiling = Tiling(5)
    assay = TextAssay(name="t", prompt="The life cycle", max_new_tokens=5, greedy=True).resolve(llama)
    wild = ReferenceEngine(llama, tiling).prepare(assay.prompts, assay.readout).wild_type[0].tokens

    def run(mutants: list[Mutant]) -> tuple[dict[Mutant, tuple[int, ...]], int]:
        session = FastEngine(llama, tiling, 64).prepare(
            assay.prompts, assay.readout
        )  # that has not seen any text
        before = session.flop
        found = {outcome.mutant: outcome.outputs[0].tokens for outcome in session.run(mutants)}
        return found, session.flop - before

    everyone = Design(layers=(2,), kinds=("o", "down"), sample=60).plan(llama.genome, tiling).mutants()
    found, _ = run(everyone)
    text, count = Counter(tokens for tokens in found.values() if tokens != wild).most_common(1)[0]
    family = [mutant for mutant, tokens in found.items() if tokens == text]
    assert count >= 3
    _, together = run(family)
    assert together < 0.95 * sum(run([mutant])[1] for mutant in family)  # verification is not shared


def test_several_prompts_give_an_output_each(llama):
    tiling = Tiling(12)
    assays = [
        TextAssay(name="t", prompt=p, max_new_tokens=9, temperature=1.0).resolve(llama)
        for p in ("ab", "xyz q")
    ]
    prompts, readout = [a.prompts[0] for a in assays], assays[0].readout
    mutants = Design(sample=5).plan(llama.genome, tiling).mutants()
    fast, reference = FastEngine(llama, tiling, 4), ReferenceEngine(llama, tiling)
    found, truth = (
        {o.mutant: o.outputs for o in engine.prepare(prompts, readout).run(mutants)}
        for engine in (fast, reference)
    )
    assert found == truth
    assert all(len(outputs) == 2 for outputs in truth.values())


def test_fields_that_it_does_not_implement_are_named(llama):
    resolved = TextAssay(name="t", prompt="ab", max_length=9).resolve(llama)
    assert unsupported_fields(resolved.readout.resolved) == []
    penalised = Generation(0, {}, {**resolved.readout.resolved, "repetition_penalty": 1.2})
    with pytest.raises(Unsupported, match=r"repetition_penalty=1\.2"):
        FastEngine(llama, Tiling(8), 4).prepare(resolved.prompts, penalised)


@pytest.mark.parametrize("family", ["opt", "bloom", "mixtral"])
def test_other_architectures_are_refused(tmp_path, family):
    model = load_model(str(tiny_model(tmp_path, family)), device="cpu")
    resolved = TextAssay(name="t", prompt="ab", max_length=9).resolve(model)
    with pytest.raises(Unsupported, match="has operations that are not known"):
        FastEngine(model, Tiling(8), 4).prepare(resolved.prompts, resolved.readout)


def test_a_prompt_longer_than_a_verification_pass_is_no_trouble(tmp_path):
    model = load_model(str(tiny_model(tmp_path, "llama", vocab_size=4200)))
    long = TextAssay(name="long", prompt="a prompt of many tokens", max_new_tokens=4, seed=1).resolve(model)
    engine = FastEngine(model, Tiling(8), max_batch=256)
    mutants = Design(sample=65).plan(model.genome, Tiling(8)).mutants()  # 128 rows: 8 positions a pass
    session, reference = (each.prepare(long.prompts, long.readout) for each in (engine, engine.reference))
    fast = {outcome.mutant: outcome.outputs for outcome in session.run(mutants)}
    truth = {outcome.mutant: outcome.outputs for outcome in reference.run(mutants[::10])}
    assert {mutant: fast[mutant] for mutant in truth} == truth
