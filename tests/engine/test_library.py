"""Known texts: which a mutant may follow, and what the unmodified network computes on them."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import tiny_model
from mutascope import Design, Tiling, load_model
from mutascope.assays import TextAssay
from mutascope.core.genome import Mutant
from mutascope.engine import library as shelves
from mutascope.engine.decoder import Decoder
from mutascope.engine.fast import FastEngine
from mutascope.engine.library import Library
from mutascope.engine.prompt_run import PromptRun
from mutascope.engine.trace import Branch, Row, Trace

PROMPT, WILD = (5, 6, 7), (1, 2, 3, 4, 5, 6)
MUTANT = Mutant(1, "o", 0, 0, "max")


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return load_model(str(tiny_model(tmp_path_factory.mktemp("llama"), "llama", 3, std=0.15)), device="cpu")


@pytest.fixture(scope="module")
def decoder(llama):
    return Decoder(llama.network, 12)


@pytest.fixture(scope="module")
def wild(decoder):
    with torch.inference_mode():
        return Trace(decoder, PROMPT, WILD)


def rows(wild, *texts, layer=1):
    return [Row(MUTANT, layer, None, wild, list(text)) for text in texts]


def in_order(memory: torch.Tensor, stop: int, width: int) -> torch.Tensor:
    """Keys and values position by position, [2, heads, stop, width]; keys lie in blocks of 16, feature by feature."""
    keys, values = memory
    heads, positions, padded = keys.shape
    keys = keys.reshape(heads, positions // 16, padded, 16).transpose(2, 3).reshape(heads, positions, padded)
    return torch.stack([keys, values])[:, :, :stop, :width]


@torch.inference_mode()
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    tokens=st.lists(st.integers(0, 20), min_size=1, max_size=6),
    shared=st.integers(0, 5),
    asked=st.lists(st.sets(st.integers(0, 3), min_size=1), min_size=1, max_size=3),
)
def test_a_branch_is_the_unmodified_network_on_its_text(decoder, wild, tokens, shared, asked):
    text = (*WILD[:shared], *tokens)[:6]
    if text[:-1] == WILD[: len(text) - 1]:  # nothing is fed after the fork
        return
    branch, truth = Branch(decoder, wild, text), Trace(decoder, PROMPT, text)
    end = len(PROMPT) + len(text) - 1
    for layers in asked:
        branch.extend(layers)
        for layer in layers:
            found = branch.inputs(layer, branch.fork, end)
            assert torch.equal(found, truth.inputs(layer, branch.fork, end))
    assert branch.depth == max(max(layers) for layers in asked)
    for layer in range(branch.depth):
        for stop in (1, branch.fork, end):
            found, true = (in_order(text.memory(layer, stop), stop, 12) for text in (branch, truth))
            assert torch.equal(found, true)


@torch.inference_mode()
def test_rows_follow_the_commonest_text_that_begins_with_their_tokens(decoder, wild):
    library = Library(decoder, wild, 2**30)
    common, rare, other = (1, 2, 9, 4, 4, 4), (1, 2, 9, 4, 5, 5), (1, 8, 8, 8, 8, 8)
    for text in 3 * (rare,) + 4 * (common,) + 2 * (other,):
        library.add(text)
    some = rows(wild, (1, 2, 9), (1, 2, 9, 4), (1, 2, 9), (1, 2, 9, 4, 5), (1, 2, 7), *3 * [(1, 8)])
    followers = library.follow(some)
    assert followers == some[:3]  # a single row is not worth a pass, nor is a rare text
    assert {row.text.tokens for row in followers} == {common}
    assert some[3].text is wild
    assert library.follow(rows(wild, (1, 2, 9, 4, 4))) != []  # the pass was made
    assert library.follow(rows(wild, *[(1, 2, 9, 4, 5)] * shelves._WORTH))[0].text.tokens == rare


@torch.inference_mode()
def test_the_library_is_bounded(decoder, wild, monkeypatch):
    monkeypatch.setattr(shelves, "_TEXTS", 10)
    library = Library(decoder, wild, most=1)
    for round_ in range(3):
        for token in range(20, 20 + 8 * (round_ + 1)):
            library.add((1, token, 3, 3))
            library.add((1, 20, 3, 3))
    assert len(library._counts) <= 10
    assert sum(map(len, library._texts.values())) == len(library._counts)
    assert library.follow(rows(wild, *[(1, 20)] * 3))[0].text.tokens == (1, 20, 3, 3)  # the commonest is kept


@torch.inference_mode()
def test_no_more_texts_are_followed_than_there_is_room_for(decoder, wild):
    library = Library(decoder, wild, most=1)
    for token in 3 * (20, 21, 22):
        library.add((1, token, 3, 3))
    some = rows(wild, *3 * [(1, 20), (1, 21)])
    followers = library.follow(some)
    assert {row.text.tokens for row in followers} == {(1, 20, 3, 3)}
    waiting = [row for row in some if row not in followers]
    assert library.follow(waiting) == []  # the rows still hold the text that they follow
    for row in followers:
        row.text = wild
    assert library.follow(waiting) == waiting
    assert len(library._branches) == 1


@pytest.mark.parametrize("sampling", [{"temperature": 0.7}, {"temperature": 1.0, "top_p": 0.9}])
def test_mutants_that_follow_texts_say_what_the_reference_engine_lets_them_say(llama, sampling):
    assay = TextAssay(name="t", prompt="The life cycle", seed=1, max_length=44, **sampling).resolve(llama)
    design = Design(layers=(1, 2), kinds=("o", "down"), sample=120)
    mutants = design.plan(llama.genome, Tiling(5)).mutants()
    engine = FastEngine(llama, Tiling(5), max_batch=24)
    session, reference = (each.prepare(assay.prompts, assay.readout) for each in (engine, engine.reference))
    found = {o.mutant: o.outputs for o in session.run(mutants)}
    some = mutants[::4]
    truth = {o.mutant: o.outputs for o in reference.run(some)}
    assert {mutant: found[mutant] for mutant in some} == truth
    run = session._run
    assert isinstance(run, PromptRun)
    assert run.library._branches  # some were followed
