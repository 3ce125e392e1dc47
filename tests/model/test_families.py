"""What a family promises, for every architecture of the registry: this file alone is what a new one must pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from builders import known_families, tiny_model, tiny_network
from mutascope.assays import TextAssay
from mutascope.core.design import Design
from mutascope.core.errors import Unsupported
from mutascope.core.genome import Genome, Locus, Mutant, Tiling
from mutascope.core.kinds import KINDS
from mutascope.core.operators import Fill
from mutascope.engine.decoder import Decoder
from mutascope.engine.edits import Edits
from mutascope.engine.fast import FastEngine
from mutascope.engine.reference import ReferenceEngine
from mutascope.model.activations import wild_type_inputs
from mutascope.model.discovery import find_genome
from mutascope.model.families import FAMILIES, family_of
from mutascope.model.loading import Model, fingerprint, load_model
from mutascope.model.matrices import bias_of, features_of, module_of, parameter_of
from mutascope.model.mutations import Mutagen
from mutascope.numerics.install import numerics_of
from mutascope.predict.predictor import Predictor

KNOWN = known_families()
DTYPES = ("float32", "bfloat16")
TILING = Tiling(7)

families = pytest.mark.parametrize("family", KNOWN)
dtypes = pytest.mark.parametrize("dtype", DTYPES)


def model_of(folder, family: str, dtype: str = "float32", **changes: Any) -> Model:
    """A small model whose norms and biases are not those of a new one."""
    model = load_model(str(tiny_model(folder, family, 1, std=0.2, **changes)), device="cpu", dtype=dtype)
    random = torch.Generator().manual_seed(2)
    for parameter in model.network.parameters():
        if parameter.ndim == 1:
            parameter += 0.1 * torch.randn(parameter.shape, generator=random).to(parameter.dtype)
    return model


def test_every_network_of_the_registry_is_tested():
    assert {type(tiny_network(name)).__name__ for name in KNOWN} == set(FAMILIES)


def test_other_networks_are_unsupported():
    with pytest.raises(Unsupported, match="BloomForCausalLM is not implemented"):
        family_of(tiny_network("bloom"))


# arithmetic


@families
@dtypes
@torch.inference_mode()
def test_the_decoder_has_the_logits_of_transformers_with_the_numerics_installed(tmp_path, family, dtype):
    network = model_of(tmp_path, family, dtype).network
    tokens = torch.randint(3, 90, (1, 21), generator=torch.Generator().manual_seed(0))
    with numerics_of(network).installed(network):
        true = network(tokens).logits[0].float()
    decoder = Decoder(network, 21)
    cache, found = decoder.new_cache(1, 21), []
    for begin, end in ((0, 19), (19, 20), (20, 21)):
        places = decoder.places(begin, end)
        hidden = decoder.embed(tokens[:, begin:end], places)
        for index in range(len(decoder.layers)):
            hidden = decoder.layer(index, hidden, Edits(), cache[index], places)
        found.append(decoder.logits(decoder.final(hidden)[0]))
    assert torch.equal(torch.cat(found), true)


@families
@dtypes
def test_the_fast_engine_has_the_outcomes_of_the_reference_engine(tmp_path, family, dtype):
    model = model_of(tmp_path, family, dtype, vocab_size=4200)
    assay = TextAssay(name="t", prompt="The life", seed=3, max_new_tokens=12, temperature=0.8, top_k=40)
    asked = assay.resolve(model)
    mutants = [
        mutant
        for kind in model.genome.kinds
        for mutant in Design(kinds=(kind,), sample=2).plan(model.genome, TILING).mutants()
    ]
    fast = FastEngine(model, TILING).prepare(asked.prompts, asked.readout)
    reference = ReferenceEngine(model, TILING).prepare(asked.prompts, asked.readout)
    assert fast.wild_type == reference.wild_type
    found = {outcome.mutant: outcome.outputs for outcome in fast.run(mutants)}
    assert found == {outcome.mutant: outcome.outputs for outcome in reference.run(mutants)}
    assert len({output.tokens for (output,) in found.values()}) > len(model.genome.kinds)


# loci


@families
def test_undo_restores_every_bit(tmp_path, family):
    model = model_of(tmp_path, family)
    before, mutagen = fingerprint(model.network), Mutagen(model.network, model.genome, TILING)
    for locus in model.genome:
        rows, cols = TILING.grid(locus)
        with mutagen.mutated(Mutant(locus.layer, locus.kind, rows - 1, cols - 1, "max")):
            assert fingerprint(model.network) != before
        assert fingerprint(model.network) == before


def without_values(network, genome: Genome) -> None:
    """Write 0 into v of every layer, and into its bias."""
    for locus in genome:
        if locus.kind == "v":
            rows = features_of(locus, 0, locus.rows)
            parameter_of(network, locus)[rows] = 0
            if bias_of(network, locus) is not None:
                module_of(network, locus).get_parameter("bias").detach()[rows] = 0


def inputs_of_o(network, genome: Genome) -> list[Tensor]:
    """What the maps o of all layers read of some tokens."""
    seen: list[Tensor] = []
    hooks = [
        module_of(network, locus).register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        for locus in genome
        if locus.kind == "o"
    ]
    with torch.inference_mode():
        network(torch.arange(5, 14)[None])
    for hook in hooks:
        hook.remove()
    return seen


MORE = [("codegen", {}), ("gpt_bigcode", {"multi_query": True}), ("gpt_bigcode", {"multi_query": False})]
FUSED_ELSEWHERE = [("bloom", {}), ("falcon", {}), *MORE]


@pytest.mark.parametrize("family, changes", [*((name, {}) for name in KNOWN), *FUSED_ELSEWHERE])
def test_without_values_the_map_o_reads_nothing_or_no_part_of_them_is_covered(family, changes):
    network = tiny_network(family, **changes)
    genome = find_genome(network)
    assert all(inputs.abs().max() > 0 for inputs in inputs_of_o(network, genome))
    if "v" in genome.kinds:
        without_values(network, genome)
        seen = inputs_of_o(network, genome)
        assert len(seen) == 3
        assert all((inputs == 0).all() for inputs in seen)
    else:
        assert family not in KNOWN
        assert {"q", "k"}.isdisjoint(genome.kinds)
        assert sum("attn" in name or "attention" in name for name, _ in genome.uncovered) == 3


# gradients


def tile_sums(gradient: Tensor, locus: Locus) -> Tensor:
    """Sums over the tiles of a matrix [outs, ins], [site rows, site cols]."""
    rows, cols = TILING.grid(locus)
    padded = torch.zeros(rows * TILING.tile, cols * TILING.tile, dtype=gradient.dtype)
    padded[: locus.rows, : locus.cols] = gradient
    return padded.view(rows, TILING.tile, cols, TILING.tile).sum((1, 3))


@families
def test_predicted_changes_are_the_gradients_of_the_whole_network(tmp_path, monkeypatch, family):
    model = model_of(tmp_path, family, "float64")
    assay = TextAssay(name="t", prompt="hello", max_length=14, temperature=0.7, top_k=30).resolve(model)
    given = Predictor(model, TILING, assay.prompts, assay.readout, ("max", "min"), 1)
    step = 1e-3
    monkeypatch.setattr("mutascope.predict.predictor.fills_of", lambda *_: [Fill(1, step), Fill(1, -step)])
    network: Any = model.network.requires_grad_(True)
    with torch.inference_mode(mode=False), torch.enable_grad():
        hidden = network.base_model(torch.tensor([given.layout.tokens])).last_hidden_state[0]
        margins = (hidden[given.targets.directions.places] * given.targets.directions.seeds.double()).sum(-1)
        names = sorted({locus.parameter for locus in model.genome})
        parameters = [network.get_parameter(name) for name in names]
        gradients = [torch.autograd.grad(m, parameters, retain_graph=True) for m in margins]
    network.requires_grad_(False)
    for locus, changes in given.moved():
        rows, at = features_of(locus, 0, locus.rows), names.index(locus.parameter)
        whole = [each[at].T if locus.transposed else each[at] for each in gradients]
        truth = step * torch.stack([tile_sums(gradient[rows], locus) for gradient in whole], dim=1)
        predicted = (changes[0] - changes[1]) / 2
        assert (predicted - truth).abs().max() < 0.03 * truth.abs().max() + 1e-3 * step, locus.name


# activations


@families
def test_maps_that_read_the_residual_stream_have_a_stream(tmp_path, family):
    model = model_of(tmp_path, family)
    inputs = wild_type_inputs(model, list(model.genome), [[5, 6, 7, 8]])
    for locus in model.genome:
        seen = inputs[locus.parameter]
        assert (seen.positions, len(seen.largest)) == (4, locus.cols)
        assert (seen.ratio is not None) == (KINDS[locus.kind].stream == "reads"), locus.name
