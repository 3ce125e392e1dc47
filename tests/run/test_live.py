"""What mutants say live is what ``generate`` puts out."""

from collections import defaultdict

import pytest
import torch

from mutascope import Mutant, MutascopeError
from mutascope.assays import TextAssay
from mutascope.core.genome import Tiling
from mutascope.engine.reference import ReferenceEngine
from mutascope.run.live import Live

MUTANTS = [Mutant(0, "down", 0, 1, "max"), Mutant(1, "v", 1, 0, "min")]
ASKED = {"seed": 3, "temperature": 0.9, "max_new_tokens": 12}


@pytest.fixture(scope="module")
def live(llama) -> Live:
    return Live(llama, 4)


def said(live, columns, **settings):
    """Tokens and text of every column, by place."""
    texts, ends = defaultdict(str), {}
    for piece in live.say("the egg hatches", columns, **{**ASKED, **settings}):
        assert piece.column not in ends
        texts[piece.column] += piece.text
        if piece.end:
            ends[piece.column] = piece.end
    assert set(ends) == set(range(len(columns)))
    return [texts[place] for place in range(len(columns))]


def generated(model, mutant=None):
    assay = TextAssay(name="t", prompt="the egg hatches", seed=3, temperature=0.9, max_new_tokens=12)
    resolved = assay.resolve(model)
    engine = ReferenceEngine(model, Tiling(4))
    if mutant is None:
        output = engine.read_out(resolved.prompts[0], resolved.readout)
    else:
        with engine.mutagen.mutated(mutant):
            output = engine.read_out(resolved.prompts[0], resolved.readout)
    return model.tokenizer.decode(output.tokens, skip_special_tokens=True)


def test_at_full_dose_each_says_what_generate_puts_out(live, llama):
    wanted = [generated(llama), *(generated(llama, mutant) for mutant in MUTANTS)]
    assert len(set(wanted)) > 1
    assert said(live, [[], *([mutant] for mutant in MUTANTS)]) == wanted


def test_without_dose_all_say_what_the_wild_type_does(live, llama):
    assert set(said(live, [[], MUTANTS[:1], MUTANTS], dose=0.0)) == {generated(llama)}


def test_a_tile_goes_linearly_to_the_mutation(live):
    mutagen, mutant = live.engine.mutagen, MUTANTS[0]
    wild, full = mutagen.wild_type_tile(mutant), mutagen.replacement(mutant)
    with mutagen.mutated(mutant, 0.25):
        torch.testing.assert_close(mutagen.wild_type_tile(mutant), 0.75 * wild + 0.25 * full)
    assert torch.equal(mutagen.wild_type_tile(mutant), wild)


def test_the_weights_are_whole_whenever_one_looks(live):
    before = [parameter.clone() for parameter in live.model.network.parameters()]
    stream = live.say("the egg", [[], MUTANTS], **ASKED)
    for _ in range(3):
        next(stream)
        now = live.model.network.parameters()
        assert all(torch.equal(a, b) for a, b in zip(before, now, strict=True))


@pytest.mark.parametrize(
    "columns, settings, sentence",
    [
        ([[Mutant(9, "v", 0, 0, "max")]], {}, "has no 9.v"),
        ([[Mutant(0, "v", 999, 0, "max")]], {}, "has no 0.v:999"),
        ([[Mutant(0, "v", 0, 0, "melt")]], {}, "melt"),
        ([[]] * 5, {}, "1 to 4"),
        ([], {}, "1 to 4"),
        ([[]], {"dose": 2}, "dose"),
        ([[]], {"temperature": float("nan")}, "temperature"),
        ([[]], {"max_new_tokens": 10**6}, "length"),
    ],
)
def test_what_cannot_be_said_is_refused(live, columns, settings, sentence):
    with pytest.raises(MutascopeError, match=sentence):
        live.say("the egg", columns, **{**ASKED, **settings})
