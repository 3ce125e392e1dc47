"""Known texts: which a mutant may follow."""

import pytest
import torch

from builders import tiny_model
from mutascope import Design, Tiling, load_model
from mutascope.assays import TextAssay
from mutascope.core.genome import Mutant
from mutascope.engine import prefix_tree
from mutascope.engine.activation_cache import ActivationCache
from mutascope.engine.decoder import Decoder
from mutascope.engine.fast import FastEngine
from mutascope.engine.prefix_tree import PrefixTree
from mutascope.engine.rows import Asked, Row

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
        return ActivationCache(decoder, PROMPT, WILD).extend_fully()


def rows(wild, *texts, index=0):
    asked = Asked(index, PROMPT, 6, frozenset())
    return [Row(MUTANT, 1, None, asked, wild, list(text)) for text in texts]


def add(tree, wild, *texts):
    for row in rows(wild, *texts):
        tree.add(row)


@torch.inference_mode()
def test_rows_follow_the_commonest_text_that_begins_with_their_tokens(decoder, wild):
    tree = PrefixTree(decoder, [WILD], 2**30, 3)
    common, rare, other = (1, 2, 9, 4, 4, 4), (1, 2, 9, 4, 5, 5), (1, 8, 8, 8, 8, 8)
    add(tree, wild, *3 * [rare], *4 * [common], *2 * [other])
    some = rows(wild, (1, 2, 9), (1, 2, 9, 4), (1, 2, 9), (1, 2, 9, 4, 5), (1, 2, 7), *3 * [(1, 8)])
    followers = tree.follow(some)
    assert followers == some[:3]  # a single row is not worth a pass, nor is a rare text
    assert {row.text.tokens for row in followers} == {common}
    assert some[3].text is wild
    assert tree.follow(rows(wild, (1, 2, 9, 4, 4))) != []  # the pass was made
    assert tree.follow(rows(wild, *[(1, 2, 9, 4, 5)] * 3))[0].text.tokens == rare


@torch.inference_mode()
def test_texts_of_other_prompts_are_not_followed(decoder, wild):
    tree, text = PrefixTree(decoder, [WILD, WILD], 2**30, 3), (1, 2, 9, 4, 4, 4)
    add(tree, wild, *3 * [text])
    some, others = (rows(wild, *3 * [(1, 2, 9)], index=index) for index in (0, 1))
    assert tree.follow([*others, *some]) == some


@torch.inference_mode()
def test_the_tree_is_bounded(decoder, wild, monkeypatch):
    monkeypatch.setattr(prefix_tree, "_TEXTS", 10)
    tree = PrefixTree(decoder, [WILD], most=1, worth=3)
    for round_ in range(3):
        for token in range(20, 20 + 8 * (round_ + 1)):
            add(tree, wild, (1, token, 3, 3), (1, 20, 3, 3))
    assert len(tree._counts) <= 10
    assert sum(map(len, tree._texts.values())) == len(tree._counts)
    assert tree.follow(rows(wild, *[(1, 20)] * 3))[0].text.tokens == (1, 20, 3, 3)  # the commonest is kept


@torch.inference_mode()
def test_no_more_texts_are_followed_than_there_is_room_for(decoder, wild):
    tree = PrefixTree(decoder, [WILD], most=1, worth=3)
    for token in 3 * (20, 21, 22):
        add(tree, wild, (1, token, 3, 3))
    some = rows(wild, *3 * [(1, 20), (1, 21)])
    followers = tree.follow(some)
    assert {row.text.tokens for row in followers} == {(1, 20, 3, 3)}
    waiting = [row for row in some if row not in followers]
    assert tree.follow(waiting) == []  # the rows still hold the text that they follow
    for row in followers:
        row.text = wild
    assert tree.follow(waiting) == waiting
    assert len(tree._branches) == 1


@torch.inference_mode()
def test_a_text_that_rows_follow_is_found_though_nothing_is_kept(decoder, wild):
    tree = PrefixTree(decoder, [WILD], most=1, worth=3, keeps=False)
    for token in 3 * (20, 21):
        add(tree, wild, (1, token, 3, 3))
    first = tree.follow(rows(wild, *3 * [(1, 20)]))
    assert tree.follow(rows(wild, *3 * [(1, 21)])) == []  # there is no room
    (late,) = tree.follow(rows(wild, (1, 20)))
    assert late.text is first[0].text


@pytest.mark.parametrize("sampling", [{"temperature": 0.7}, {"temperature": 1.0, "top_p": 0.9}])
def test_mutants_that_follow_texts_say_what_the_reference_engine_lets_them_say(llama, sampling):
    assay = TextAssay(name="t", prompt="The life cycle", seed=1, max_length=44, **sampling).resolve(llama)
    design = Design(layers=(1, 2), kinds=("o", "down"), sample=120)
    mutants = design.plan(llama.genome, Tiling(5)).mutants()
    engine = FastEngine(llama, Tiling(5), max_batch=24)
    session = engine.prepare(assay.prompts, assay.readout)
    reference = engine.reference.prepare(assay.prompts, assay.readout)
    found = {o.mutant: o.outputs for o in session.run(mutants)}
    some = mutants[::4]
    truth = {o.mutant: o.outputs for o in reference.run(some)}
    assert {mutant: found[mutant] for mutant in some} == truth
    assert session.tree._branches  # some were followed
