"""Loci of mixtures of experts, against what the experts of transformers compute with their weights."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModelForCausalLM

from builders import tiny_model
from model.small_configs import small_config
from mutascope import Design, Mutant, MutascopeError, Prediction, Screen, Tiling, load_model
from mutascope.assays.text import TextAssay
from mutascope.model.discovery import find_genome
from mutascope.model.matrices import matrix_of
from mutascope.model.mutations import Mutagen

GATED = ["gate", "up", "down"]
KINDS = {
    "mixtral": GATED,
    "qwen3_moe": GATED,
    "olmoe": GATED,
    "gpt_oss": GATED,
    "llama4_text": GATED,
    "aria_text": GATED,
    "nemotron_h": ["up", "down"],
}


def network_of(model_type):
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_config(small_config(model_type), dtype=torch.float32).eval()
    for parameter in network.parameters():
        if parameter.ndim >= 2:
            torch.nn.init.normal_(parameter, std=0.2)
    return network


def experts_of(network, locus):
    return network.get_submodule(locus.parameter.rpartition(".")[0])


def put_out(experts, x, index):
    """What an expert makes of hidden states [tokens, hidden]."""
    if type(experts).__name__ == "Llama4TextExperts":  # takes the tokens of every expert
        every = x.repeat(experts.num_experts, 1)
        return experts(every).view(experts.num_experts, len(x), -1)[index]
    chosen = torch.full((len(x), 1), index)
    return experts(x, chosen, torch.ones(len(x), 1))


def inner(experts, gate, up):
    if type(experts).__name__ == "GptOssExperts":
        gate, up = gate.clamp(max=experts.limit), up.clamp(-experts.limit, experts.limit)
        return (up + 1) * gate * torch.sigmoid(experts.alpha * gate)
    return experts.act_fn(up) if gate is None else experts.act_fn(gate) * up


@pytest.mark.parametrize("model_type, kinds", KINDS.items(), ids=KINDS)
def test_the_matrices_of_an_expert_are_those_that_it_computes_with(model_type, kinds):
    network = network_of(model_type)
    genome = find_genome(network)
    layer = max(locus.layer for locus in genome if locus.kind == "down.e3")
    for name, parameter in network.named_parameters():
        if name.endswith("_bias"):
            torch.nn.init.zeros_(parameter)
    locus = genome.locus(layer, "down.e3")
    experts = experts_of(network, locus)
    matrices = {kind: matrix_of(network, genome.locus(layer, f"{kind}.e3")) for kind in kinds}
    x = torch.randn(5, matrices["up"].shape[1], generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        gate = F.linear(x, matrices["gate"]) if "gate" in kinds else None
        expected = F.linear(inner(experts, gate, F.linear(x, matrices["up"])), matrices["down"])
        torch.testing.assert_close(put_out(experts, x, 3), expected, rtol=1e-4, atol=1e-4)
    other = genome.locus(layer, "down.e1")
    assert not torch.equal(matrix_of(network, other), matrices["down"])


@pytest.mark.parametrize("model_type", KINDS)
def test_every_weight_of_the_experts_and_the_router_belongs_to_one_locus(model_type):
    network = network_of(model_type)
    genome = find_genome(network)
    assert not [name for name, _ in genome.uncovered if "expert" in name and not name.endswith("_bias")]
    counts = {name: torch.zeros_like(p) for name, p in network.named_parameters() if ".experts." in name}
    for locus in genome:
        if locus.expert:
            index, number = locus.expert
            view = counts[locus.parameter].view(number, -1, counts[locus.parameter].shape[-1])[index]
            view = view.T if locus.transposed else view
            assert view.shape[1] == locus.cols
            view[locus.features(0, locus.rows)] += 1
    assert all((count == 1).all() for name, count in counts.items() if not name.endswith("_bias"))
    router = next(locus for locus in genome if locus.kind == "router")
    assert (router.rows, router.cols) == (4, 64)


def test_dbrx_stacks_experts_in_matrices():
    network = network_of("dbrx")
    genome = find_genome(network)
    module = network.transformer.blocks[1].ffn.experts
    gate, up, down = (matrix_of(network, genome.locus(1, f"{kind}.e2")) for kind in GATED)
    x = torch.randn(5, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = F.linear(F.silu(F.linear(x, gate)) * F.linear(x, up), down)
        made = module(x[None], torch.full((5, 1), 2), torch.ones(5, 1))[0]
    torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-4)
    assert genome.uncovered == ()


@pytest.mark.parametrize("model_type", ["gpt_oss", "dbrx"])
def test_a_mutation_of_an_expert_is_written_and_undone_in_place(model_type):
    """In GPT-OSS a tile of the gate is every other output of a transposed matrix."""
    network = network_of(model_type)
    mutagen = Mutagen(network, find_genome(network), Tiling(16))
    mutant = Mutant(1, "gate.e2", 1, 2, "max")
    locus = mutagen.locus(mutant)
    before = network.get_parameter(locus.parameter).clone()
    top = mutagen.matrix(locus).amax()
    with mutagen.mutated(mutant):
        changed = network.get_parameter(locus.parameter) != before
        assert (network.get_parameter(locus.parameter)[changed] == top).all()
        assert 16 * 16 - 1 <= int(changed.sum()) <= 16 * 16
        assert (mutagen.matrix(locus)[16:32, 32:48] == top).all()
    assert torch.equal(network.get_parameter(locus.parameter), before)


@pytest.fixture(scope="module")
def mixtral(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "mixtral"
    return load_model(str(tiny_model(folder, "mixtral", num_local_experts=11, num_hidden_layers=2)))


def test_experts_stand_in_order_of_their_number(mixtral):
    kinds = mixtral.genome.kinds
    assert kinds[:5] == ["q", "k", "v", "o", "gate.e0"]
    assert kinds[13:17] == ["gate.e9", "gate.e10", "up.e0", "up.e1"]
    assert kinds[-1] == "router"


def test_genome_counts_experts_together(mixtral, cli):
    told = cli("genome", mixtral.name)
    assert told.code == 0, told.err
    table = [line.split() for line in told.out.replace("│", " ").splitlines()]
    assert ["gate.e0-10", "22", "80x48"] in [row[:3] for row in table]
    assert "NOT COVERED" not in told.out
    assert "100 % of the weights of the layers" in told.out


def test_a_kind_stands_for_those_of_all_experts(mixtral):
    tiling = Tiling(16)
    every = Design(kinds=("up",), layers=(0,)).plan(mixtral.genome, tiling)
    one = Design(kinds=("up.e3", "router"), layers=(0,)).plan(mixtral.genome, tiling)
    assert [locus.kind for locus in every.loci] == [f"up.e{index}" for index in range(11)]
    assert [locus.kind for locus in one.loci] == ["up.e3", "router"]
    with pytest.raises(MutascopeError, match=r"unknown kind 'upp': this model has q, .*gate.e0-10, up.e0-10"):
        Design(kinds=("upp",)).plan(mixtral.genome, tiling)


@pytest.mark.usefixtures("unpainted")
def test_a_mixture_is_screened_mapped_and_reported(mixtral, tmp_path, cli, capfd):
    assay = TextAssay(name="t", prompt="Hi", max_new_tokens=3)
    design = Design(kinds=("gate.e10", "down.e2", "router", "v"), layers=(1,), sample=12)
    out = tmp_path / "out"
    Screen(mixtral, assay, design, tile=16, engine="reference").run(out)
    share = f"{100 * (80 * 48 * 2 + 11 * 48 + 24 * 48) / mixtral.genome.layer_weights:.3g} % of the weights"
    assert share in capfd.readouterr().err
    assert share in cli("status", out).out
    assert cli("map", out, "--out", tmp_path / "map.png").code == 0
    assert cli("report", out, "--out", tmp_path / "r.html").code == 0
    assert share in (tmp_path / "r.html").read_text()
    shown = cli("show", out, "1.down.e2:0,0:max")
    assert shown.code in (0, 2), shown.err
    assert cli("analyze", out, "--out", tmp_path / "tables").code == 0


def test_experts_are_not_predicted(mixtral, tmp_path):
    assay = TextAssay(name="t", prompt="Hi", max_new_tokens=3)
    out = tmp_path / "out"
    for kinds in (("up.e3",), ("router",)):
        with pytest.raises(MutascopeError, match=f"mutants of 0.{kinds[0]} cannot be predicted"):
            Prediction(mixtral, assay, Design(kinds=kinds), tile=16).run(out)
        assert not out.exists()
    Prediction(mixtral, assay, Design(kinds=("v",), layers=(1,)), sample=2, tile=16).run(out, quiet=True)
