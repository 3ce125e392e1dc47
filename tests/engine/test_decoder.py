"""The decoder against the network itself, with torch's operations and with the compiled ones."""

from __future__ import annotations

import pytest
import torch

from builders import tiny_model, tiny_network
from mutascope import Tiling, load_model
from mutascope.engine import decoder as decoders
from mutascope.engine.decoder import Decoder, available_memory
from mutascope.engine.deltas import Deltas, delta_of
from mutascope.engine.kernels import kernels
from mutascope.engine.operations import Operations
from mutascope.engine.products import default, packed
from mutascope.engine.reference import ReferenceEngine
from mutascope.genome import Mutant
from mutascope.mutations import OPERATORS

LENGTH = 12


@pytest.fixture(params=["torch", "compiled"])
def product(request, monkeypatch):
    """Makes decoders use the operations of torch, or the compiled ones, whatever is faster."""
    if request.param == "compiled" and not kernels():
        pytest.skip("no compiler, or one with an OpenMP other than torch's")
    chosen = packed if request.param == "compiled" else default
    monkeypatch.setattr(decoders, "fastest_product", lambda weight, may_copy: chosen)
    if chosen is default:
        monkeypatch.setattr(decoders, "kernels", lambda: None)
    return chosen


@pytest.mark.parametrize(
    "family, fields",
    [
        ("llama", {"attention_bias": True, "mlp_bias": True}),
        ("mistral", {"sliding_window": 4}),
        ("qwen2", {"head_dim": 16, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}),
        ("qwen3", {"num_attention_heads": 6}),
    ],
)
@torch.inference_mode()
def test_passes_of_any_shape_give_the_networks_states(product, family, fields):
    network = tiny_network(family, 1, **{"head_dim": 16, **fields})
    for parameter in network.parameters():
        if parameter.ndim == 1:
            parameter += 0.1 * torch.randn_like(parameter)
    decoder = Decoder(network, LENGTH)
    assert (type(decoder._operations) is Operations) == (product is default)
    tokens = torch.randint(3, 90, (3, LENGTH), generator=torch.Generator().manual_seed(0))
    true = network(tokens).logits
    cache, none = decoder.new_cache(4, LENGTH), Deltas([], decoder.device)
    cache.zero_()  # masked, but read where rows stand at different places
    together = [decoder.places(begin, end) for begin, end in ((0, 5), (5, 6), (6, 7))]
    apart = [decoder.places_of(torch.tensor([[at, at + 1, at + 2]] * 3)) for at in (7, 9)]
    for places in (*together, *apart):
        here = slice(int(places.positions[0, 0]), places.stop)
        hidden = decoder.embed(tokens[:, here])
        for index in range(len(decoder.layers)):
            hidden = decoder.layer(index, hidden, none, cache[index], places)
        logits = decoder.logits(decoder.final(hidden).flatten(0, 1)).view(*hidden.shape[:2], -1)
        assert torch.allclose(logits, true[:, here], atol=1e-3 * float(true.abs().max()))


@torch.inference_mode()
def test_an_operator_may_return_another_dtype(product, monkeypatch, tmp_path):
    monkeypatch.setitem(OPERATORS, "negate", lambda tile: -tile.values.double())
    model = load_model(str(tiny_model(tmp_path, "llama", 1)), device="cpu")
    mutagen, mutant = ReferenceEngine(model, Tiling(5)).mutagen, Mutant(1, "up", 1, 1, "negate")
    decoder, tokens = Decoder(model.network, 3), torch.tensor([[5, 6, 7]])
    places = decoder.places(0, 3)
    hidden = decoder.embed(tokens)
    for index in range(len(decoder.layers)):
        deltas = Deltas([(0, delta_of(mutagen, mutant))], decoder.device)
        hidden = decoder.layer(index, hidden, deltas, decoder.new_cache(1, 3)[index], places)
    with mutagen.mutated(mutant):
        true = model.network(tokens).logits[0]
    assert torch.allclose(decoder.logits(decoder.final(hidden)[0]), true, atol=1e-4)


def test_activations_that_are_not_implemented_are_refused():
    with pytest.raises(ValueError, match="activation gelu"):
        Decoder(tiny_network("llama", hidden_act="gelu"), 3)


def test_memory_that_can_be_had_is_between_a_megabyte_and_a_petabyte():
    assert 2**20 < available_memory() < 2**50
