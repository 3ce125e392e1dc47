"""The decoder against the network itself, with the same operations installed: equal bits."""

from __future__ import annotations

import pytest
import torch

from builders import tiny_model, tiny_network
from mutascope import Tiling, load_model
from mutascope.core.errors import Unsupported
from mutascope.core.genome import Mutant
from mutascope.core.operators import OPERATORS, Operator
from mutascope.engine.decoder import Decoder, Places
from mutascope.engine.edits import Edits, edit_of, written
from mutascope.engine.reference import ReferenceEngine
from mutascope.numerics.install import numerics_of

LENGTH = 12


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "family, fields",
    [
        ("llama", {"head_dim": 16, "attention_bias": True, "mlp_bias": True}),
        ("mistral", {"head_dim": 16, "sliding_window": 4}),
        ("qwen2", {"head_dim": 16, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}),
        ("qwen3", {"num_attention_heads": 6}),
        ("llama", {"hidden_act": "gelu"}),
        ("gpt2", {}),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True, "activation_function": "gelu"}),
        ("gpt_neox", {}),
        ("gpt_neox", {"use_parallel_residual": False, "attention_bias": False}),
        ("gemma", {}),
        ("gemma2", {"sliding_window": 4}),
        ("gemma2", {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}),
        ("gemma3", {"sliding_window": 4, "final_logit_softcapping": 5.0}),
        ("phi3", {"sliding_window": 4}),
        ("phi3", {"partial_rotary_factor": 0.5}),
    ],
)
@torch.inference_mode()
def test_passes_of_any_shape_give_the_networks_logits(dtype, family, fields):
    network = tiny_network(family, 1, **fields)
    for parameter in network.parameters():
        if parameter.ndim == 1:
            parameter += 0.1 * torch.randn_like(parameter)
    network.to(dtype)
    decoder = Decoder(network, LENGTH)
    tokens = torch.randint(3, 90, (3, LENGTH), generator=torch.Generator().manual_seed(0))
    with numerics_of(network).installed(network):
        true = torch.cat([network(row[None]).logits for row in tokens]).float()
    cache, none = decoder.new_cache(4, LENGTH), Edits()
    cache.fill_(torch.nan)  # what was not written must not be read
    together = [decoder.places(begin, end) for begin, end in ((0, 5), (5, 6), (6, 7))]
    apart = [Places(torch.tensor([[at, at + 1, at + 2]] * 3), at + 3) for at in (7, 9)]
    for places in (*together, *apart):
        here = slice(int(places.positions[0, 0]), places.stop)
        hidden = decoder.embed(tokens[:, here], places)
        for index in range(len(decoder.layers)):
            hidden = decoder.layer(index, hidden, none, cache[index], places)
        logits = decoder.logits(decoder.final(hidden).flatten(0, 1)).view(*hidden.shape[:2], -1)
        assert torch.equal(logits, true[:, here])


@torch.inference_mode()
def test_an_operator_may_return_another_dtype(monkeypatch, tmp_path):
    monkeypatch.setitem(OPERATORS, "negate", Operator(write=lambda tile: -tile.values.double()))
    model = load_model(str(tiny_model(tmp_path, "llama", 1)), device="cpu")
    mutagen, mutant = ReferenceEngine(model, Tiling(5)).mutagen, Mutant(1, "up", 1, 1, "negate")
    decoder, tokens = Decoder(model.network, 3), torch.tensor([[5, 6, 7]])
    edit = edit_of(mutagen, decoder, mutant)
    places, edits = decoder.places(0, 3), Edits(written([(0, edit)]))
    hidden = decoder.embed(tokens, places)
    for index in range(len(decoder.layers)):
        hidden = decoder.layer(index, hidden, edits, decoder.new_cache(1, 3)[index], places)
    with mutagen.mutated(mutant), numerics_of(model.network).installed(model.network):
        true = model.network(tokens).logits[0]
    assert torch.equal(decoder.logits(decoder.final(hidden)[0]), true)


def test_activations_that_are_not_implemented_are_refused():
    with pytest.raises(Unsupported, match="activation relu"):
        Decoder(tiny_network("llama", hidden_act="relu"), 3)


@pytest.mark.parametrize("field", ["sliding_window", "attention_chunk_size"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
def test_a_window_that_only_the_cache_of_transformers_has_is_refused(family, field):
    """The attention of these networks has none, and the cache forgets keys all the same."""
    with pytest.raises(Unsupported, match="has a sliding window, and its attention has none"):
        Decoder(tiny_network(family, **{field: 4}), 3)
