"""The loci of real architectures, against what their own attention and MLP code does with the weights."""

import numpy as np
import pytest
import torch

from builders import FAMILIES, HEAD_DIM, HEADS, HIDDEN, INTERMEDIATE, config_only, tiny_network
from mutascope import Mutant, MutascopeError, Tiling, load_genome
from mutascope.model.discovery import find_genome
from mutascope.model.mutations import Mutagen

LLAMA2_7B = {
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
}
MISTRAL_7B = {**LLAMA2_7B, "intermediate_size": 14336, "num_key_value_heads": 8}
GATED = ["q", "k", "v", "o", "gate", "up", "down"]
PLAIN = ["q", "k", "v", "o", "up", "down"]


@pytest.mark.parametrize(
    "family, dimensions, sites", [("llama", LLAMA2_7B, 1_581_056), ("mistral", MISTRAL_7B, 1_703_936)]
)
def test_the_papers_models_have_the_papers_sites(tmp_path, cli, family, dimensions, sites):
    folder = config_only(tmp_path, family, **dimensions)
    assert [path.name for path in folder.iterdir()] == ["config.json"]
    genome, network = load_genome(str(folder))
    assert all(parameter.is_meta for parameter in network.parameters())
    assert len(genome) == 224
    assert genome.kinds == GATED
    assert genome.uncovered == ()
    assert {name for name, _ in genome.embeddings} == {"model.embed_tokens.weight", "lm_head.weight"}
    assert sum(Tiling(64).sites(locus) for locus in genome) == sites

    result = cli("genome", folder)
    assert result.code == 0, result.err
    assert "tile 64" in result.out
    assert f"{sites:,} sites x 2 mutations = {2 * sites:,} mutants" in result.out
    assert "estimated cost" in result.out
    table = [line.split() for line in result.out.replace("│", " ").splitlines()]
    assert ["all", "224", f"{sites:,}"] in table
    v = "1024x4096" if family == "mistral" else "4096x4096"
    grid = "16x64" if family == "mistral" else "64x64"
    assert ["v", "32", v, grid, f"{32 * 64 * int(grid.split('x')[0]):,}"] in table


EXPECTED = {
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "phi3"), GATED),
    **dict.fromkeys(("phi", "opt", "gpt2", "gpt_neox", "bloom"), PLAIN),
}


@pytest.mark.parametrize("family", list(EXPECTED))
def test_every_matrix_of_a_layer_is_a_locus(family):
    network = tiny_network(family)
    genome = find_genome(network)
    assert [locus.name for locus in genome] == [
        f"{layer}.{kind}" for layer in range(3) for kind in EXPECTED[family]
    ]
    assert genome.uncovered == ()
    assert genome.hidden_size == HIDDEN
    embeddings = sum(int(np.prod(shape)) for _, shape in genome.embeddings)
    matrices = sum(p.numel() for p in network.parameters() if p.ndim >= 2)
    assert sum(locus.rows * locus.cols for locus in genome) == matrices - embeddings


@pytest.mark.parametrize("family", list(EXPECTED))
def test_loci_partition_their_parameters(family):
    """Every row of every parameter belongs to one locus: counted in the parameters themselves."""
    network = tiny_network(family)
    counts = {name: torch.zeros_like(p) for name, p in network.named_parameters()}
    loci = list(find_genome(network))
    for locus in loci:
        count = counts[locus.parameter]
        view = count.T if locus.transposed else count
        assert view.shape[1] == locus.cols
        view[locus.features(0, locus.rows)] += 1
    for name in {locus.parameter for locus in loci}:
        assert (counts[name] == 1).all(), name


# fused projections: mutating q must change exactly what the attention code takes for the query


def gpt2_parts(output: torch.Tensor) -> dict[str, torch.Tensor]:
    return dict(zip("qkv", output.split(HIDDEN, dim=2), strict=True))  # GPT2Attention.forward


def gpt_neox_parts(output: torch.Tensor) -> dict[str, torch.Tensor]:
    heads = output.view(*output.shape[:2], -1, 3 * HEAD_DIM).transpose(1, 2)  # GPTNeoXAttention.forward
    return dict(zip("qkv", heads.chunk(3, dim=-1), strict=True))


def bloom_parts(output: torch.Tensor) -> dict[str, torch.Tensor]:
    heads = output.view(*output.shape[:2], HEADS, 3, HEAD_DIM)  # BloomAttention._reshape
    return {kind: heads[..., i, :] for i, kind in enumerate("qkv")}


def phi3_parts(output: torch.Tensor) -> dict[str, torch.Tensor]:
    query, keys = HEADS * HEAD_DIM, 2 * HEAD_DIM  # Phi3Attention.forward
    return {
        "q": output[..., :query],
        "k": output[..., query : query + keys],
        "v": output[..., query + keys :],
    }


def phi3_mlp_parts(output: torch.Tensor) -> dict[str, torch.Tensor]:
    return dict(zip(("gate", "up"), output.chunk(2, dim=-1), strict=True))  # Phi3MLP.forward


@pytest.mark.parametrize(
    "family, module, parts",
    [
        ("gpt2", "transformer.h.1.attn.c_attn", gpt2_parts),
        ("gpt_neox", "gpt_neox.layers.1.attention.query_key_value", gpt_neox_parts),
        ("bloom", "transformer.h.1.self_attention.query_key_value", bloom_parts),
        ("phi3", "model.layers.1.self_attn.qkv_proj", phi3_parts),
        ("phi3", "model.layers.1.mlp.gate_up_proj", phi3_mlp_parts),
    ],
)
def test_a_mutation_of_a_fused_locus_changes_its_part_of_the_projection_alone(family, module, parts):
    network = tiny_network(family)
    genome = find_genome(network)
    mutagen = Mutagen(network, genome, Tiling(200))  # a site is the whole locus
    tokens = torch.arange(10, 18)[None]

    def projected() -> dict[str, torch.Tensor]:
        caught = []
        hook = network.get_submodule(module).register_forward_hook(
            lambda *call: caught.append(call[2].clone())
        )
        with torch.inference_mode():
            network(tokens)
        hook.remove()
        return parts(caught[0])

    wild = projected()
    for kind in wild:
        with mutagen.mutated(Mutant(1, kind, 0, 0, "max")):
            mutated = projected()
        for other in wild:
            changed = mutated[other] != wild[other]
            assert changed.float().mean() > 0.99 if other == kind else not changed.any(), (kind, other)


def test_a_tile_of_an_interleaved_locus_is_of_the_heads_that_its_rows_belong_to():
    network = tiny_network("gpt_neox")
    mutagen = Mutagen(network, find_genome(network), Tiling(8))
    states = torch.randn(1, 5, HIDDEN, generator=torch.Generator().manual_seed(1))
    projection = network.get_submodule("gpt_neox.layers.1.attention.query_key_value")
    with torch.inference_mode():
        wild = gpt_neox_parts(projection(states))["k"]  # [1, heads, positions, head_dim]
        with mutagen.mutated(Mutant(1, "k", 1, 0, "max")):
            mutated = gpt_neox_parts(projection(states))["k"]
    changed = (mutated != wild).any(dim=2)[0]
    expected = torch.zeros(HEADS, HEAD_DIM, dtype=torch.bool)
    expected[0, 8:12] = expected[1, 0:4] = True  # rows 8 to 15 of the locus
    assert torch.equal(changed, expected)


def test_a_fused_layout_that_is_not_known_is_reported_not_guessed(tmp_path, cli):
    genome = find_genome(tiny_network("falcon"))
    assert "q" not in genome.kinds
    assert [name for name, _ in genome.uncovered] == [
        f"transformer.h.{layer}.self_attention.query_key_value.weight" for layer in range(3)
    ]
    config_only(tmp_path, "falcon", **FAMILIES["falcon"][1])
    told = cli("genome", tmp_path)
    assert all(f"NOT COVERED: {name} " in told.out for name, _ in genome.uncovered)


def test_grouped_queries_with_a_head_dim_of_their_own():
    """Qwen3: heads x head_dim is not the hidden size."""
    genome = find_genome(tiny_network("qwen3"))
    shapes = {locus.kind: (locus.rows, locus.cols) for locus in genome if locus.layer == 0}
    assert shapes == {
        "q": (64, HIDDEN),
        "k": (32, HIDDEN),
        "v": (32, HIDDEN),
        "o": (HIDDEN, 64),
        "gate": (INTERMEDIATE, HIDDEN),
        "up": (INTERMEDIATE, HIDDEN),
        "down": (HIDDEN, INTERMEDIATE),
    }


@pytest.mark.parametrize("dtype", ["int8", "uint8", "float8_e4m3fn", "float8_e5m2"])
def test_quantised_weights_are_refused(dtype):
    network = tiny_network("llama")
    layer = network.model.layers[0].mlp.up_proj
    layer.weight = torch.nn.Parameter(
        torch.zeros(INTERMEDIATE, HIDDEN, dtype=getattr(torch, dtype)), requires_grad=False
    )
    with pytest.raises(MutascopeError, match=f"{dtype}: quantised weights cannot be mutated"):
        find_genome(network)
