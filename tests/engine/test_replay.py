"""Replays give what ``generate`` gives, with less work."""

import random

import pytest
import torch

from builders import tiny_model
from mutascope import Design, Tiling, load_model
from mutascope.assays import TextAssay
from mutascope.engine import alone
from mutascope.engine.decoder import Decoder
from mutascope.engine.reference import ReferenceEngine
from mutascope.engine.replay import Replay, recorded
from mutascope.sampling import Picker

TILING = Tiling(8)


def make(model, *, keep: bool = True, length: int = 40) -> tuple[Replay, ReferenceEngine, tuple[int, ...]]:
    assay = TextAssay(name="t", prompt="The life cycle", seed=1, max_length=length, temperature=0.9).resolve(
        model
    )
    (prompt,), readout = assay.prompts, assay.readout
    reference = ReferenceEngine(model, TILING)
    decoder = Decoder(model.network, length)
    picker = Picker(readout.resolved, readout.seed, decoder.head.shape[0], decoder.device)
    with recorded(decoder.layers) as recording:
        wild, logits = reference.wild_type_logits(prompt, readout)
    known = (wild.tokens, logits, recording) if keep else None
    return Replay(reference, prompt, readout, picker, decoder, known), reference, wild.tokens


@pytest.fixture(autouse=True, scope="module")
def exact_replays(tmp_path_factory):
    """Skip where torch rounds the product of one token by where the weight lies in memory: no replay is exact there."""
    for offset in range(1, 16):
        store, x = torch.randn(48 * 48 + offset), torch.randn(1, 48)
        weight = store[offset:].view(48, 48)
        if not torch.equal(
            torch.nn.functional.linear(x, weight), torch.nn.functional.linear(x, weight.clone())
        ):
            pytest.skip("torch's product of one token depends on the alignment of the weight")


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3"])
@pytest.mark.parametrize("keep, dtype", [(True, "float32"), (False, "float32"), (True, "float64")])
def test_logits_are_those_of_generate_to_the_last_bit(tmp_path, family, keep, dtype):
    model = load_model(str(tiny_model(tmp_path, family)), device="cpu", dtype=dtype)
    replay, reference, _ = make(model, keep=keep)
    for mutant in Design(sample=10).plan(model.genome, TILING).mutants():
        with reference.mutagen.mutated(mutant):
            truth, logits = reference.wild_type_logits(replay.prompt, replay.readout)
            for step in range(0, len(truth.tokens), 7):
                assert torch.equal(replay._logits(mutant.layer, truth.tokens[:step]), logits[step])
        for step in range(0, len(truth.tokens), 9):
            assert replay.next_token(mutant, truth.tokens[:step]) == truth.tokens[step]
    assert replay._exact


def test_products_that_round_otherwise_in_a_batch_are_made_for_each_token(tmp_path):
    model = load_model(str(tiny_model(tmp_path, "qwen2")), device="cpu")
    replay, *_, wild = make(model)
    _, logits, _ = replay.wild
    replay._alone.batched = {tuple(p.shape): False for p in model.network.parameters() if p.ndim == 2}
    known = dict(replay._alone.batched)
    assert len(wild) > 4
    for step in range(0, len(wild), 3):
        assert torch.equal(replay._logits(1, wild[:step]), logits[step])
    assert replay._alone.batched == known


def test_what_is_kept_of_one_text_leaves_the_logits_of_others_alone(tmp_path):
    """Texts that share beginnings, mutated in all layers, in an order that cuts, deepens and forgets what is kept."""
    model = load_model(str(tiny_model(tmp_path, "llama")), device="cpu")
    replay, reference, wild = make(model)
    mutants = Design(sample=4).plan(model.genome, TILING).mutants()
    texts = {}
    for mutant in mutants:
        with reference.mutagen.mutated(mutant):
            texts[mutant] = reference.wild_type_logits(replay.prompt, replay.readout)
    assert sum(truth.tokens != wild for truth, _ in texts.values()) > 5
    order = [(mutant, step) for mutant in mutants for step in (3, 17, 8)]
    random.Random(0).shuffle(order)
    for mutant, step in order:
        truth, logits = texts[mutant]
        if step < len(truth.tokens):
            with reference.mutagen.mutated(mutant):
                assert torch.equal(replay._logits(mutant.layer, truth.tokens[:step]), logits[step])


def test_a_sliding_window_that_forgets_is_replayed_from_the_start(tmp_path):
    model = load_model(str(tiny_model(tmp_path, "mistral", sliding_window=9)), device="cpu")
    replay, reference, _ = make(model)
    assert replay._forgets
    (mutant, *_) = Design(sample=3).plan(model.genome, TILING).mutants()
    with reference.mutagen.mutated(mutant):
        truth, logits = reference.wild_type_logits(replay.prompt, replay.readout)
        last = len(truth.tokens) - 1
        assert torch.equal(replay._logits(mutant.layer, truth.tokens[:last]), logits[last])


def test_layers_below_the_mutation_are_left_out_along_the_wild_type(tmp_path):
    model = load_model(str(tiny_model(tmp_path, "llama")), device="cpu")
    replay, _, wild = make(model)
    start = len(replay.prompt.tokens)
    ran = [0] * len(replay.decoder.layers)

    def count(at):
        def hook(_module, _given, out):
            ran[at] += out.shape[1]

        return hook

    handles = [layer.register_forward_hook(count(at)) for at, layer in enumerate(replay.decoder.layers)]
    replay._logits(2, wild[:6])
    assert ran == [0, 0, start + 6]
    other = (wild[3] + 1) % 50
    ran[:] = [0, 0, 0]
    replay._logits(2, (*wild[:3], other, *wild[4:6]))
    assert ran == [3, 3, start + 6]
    ran[:] = [0, 0, 0]
    replay._logits(2, (*wild[:3], other, *wild[4:7]))  # this text is known by now, but for its last token
    assert ran == [1, 1, start + 7]
    ran[:] = [0, 0, 0]
    replay._logits(1, (*wild[:3], other, other))
    assert ran == [1, start + 5, start + 5]
    for handle in handles:
        handle.remove()


def test_without_equal_logits_generate_settles(tmp_path, monkeypatch):
    model = load_model(str(tiny_model(tmp_path, "llama")), device="cpu")
    replay, reference, wild = make(model)
    tokens, logits, recording = replay.wild
    replay.wild = tokens, logits + 1e-6, recording
    asked = []
    monkeypatch.setattr(reference, "next_token", lambda *given: asked.append(given) or 7)
    (mutant, *_) = Design(sample=3).plan(model.genome, TILING).mutants()
    assert replay.next_token(mutant, wild[:4]) == 7
    assert len(asked) == 1


@pytest.mark.parametrize("keep", [True, False])
def test_a_tie_at_the_first_token_does_not_hide_that_later_ones_differ(tmp_path, monkeypatch, keep):
    """Only the prompt is run for it, in one call: tokens on their own are checked nevertheless."""
    model = load_model(str(tiny_model(tmp_path, "llama")), device="cpu")
    replay, *_ = make(model, keep=keep)
    attend = alone._attention
    monkeypatch.setattr(alone, "_attention", lambda *given, **settings: attend(*given, **settings) * 1.000001)
    (mutant, *_) = Design(sample=3).plan(model.genome, TILING).mutants()
    replay.next_token(mutant, ())
    assert replay._exact is False
