"""Which part of a network is the language model."""

import math
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM

from builders import _LLAMA, HEAD_DIM, HEADS, HIDDEN, INTERMEDIATE, KV_HEADS, tiny_model, tiny_tokenizer
from mutascope import Design, MutascopeError, Screen, load_model
from mutascope.assays.choice import few_shot_prompt, letter_tokens
from mutascope.assays.question_rows import Question
from mutascope.assays.questions import Questions
from mutascope.assays.text import TextAssay
from mutascope.model.discovery import decoder_layers, find_genome

SIZE = len(tiny_tokenizer())
LAYERS = 2
TEXT: dict[str, Any] = {
    **_LLAMA,
    "num_hidden_layers": LAYERS,
    "vocab_size": SIZE,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
TOWER: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "intermediate_size": INTERMEDIATE,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "image_size": 28,
    "patch_size": 14,
}


def gemma3(**text):
    """A network with a vision tower of as many layers as its language model, the tower first."""
    config = transformers.Gemma3Config(
        text_config={**TEXT, "pad_token_id": 1, "sliding_window": 16, **text},
        vision_config={**TOWER, "vision_use_head": False},
        mm_tokens_per_image=4,
        image_token_index=SIZE - 1,
        boi_token_index=SIZE - 2,
        eoi_token_index=SIZE - 3,
    )
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def qwen3_next():
    small: dict[str, Any] = {"moe_intermediate_size": 16, "shared_expert_intermediate_size": 16}
    config = transformers.Qwen3NextConfig(
        **{**TEXT, "layer_types": ["full_attention"] * LAYERS, "num_experts": 2, "num_experts_per_tok": 1},
        **small,
    )
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def git():
    config = transformers.GitConfig(vision_config=TOWER, **{k: v for k, v in TEXT.items() if k != "head_dim"})
    return AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize(
    "make, layers", [(gemma3, "model.language_model.layers"), (git, "git.encoder.layer")]
)
def test_a_vision_tower_of_as_many_layers_is_not_the_language_model(make, layers):
    network = make()
    with torch.device("meta"):
        assert decoder_layers(network)[0] == layers


def test_the_loci_are_those_of_the_language_model():
    genome = find_genome(gemma3())
    assert {locus.parameter.split(".layers")[0] for locus in genome} == {"model.language_model"}


def test_sizes_of_the_language_model_stand_in_its_own_configuration(tmp_path):
    """Examples are dropped to fit into its context, and letters are found in its vocabulary."""
    gemma3(max_position_embeddings=130).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    model = load_model(str(tmp_path))
    assert (model.context, model.embeddings) == (130, SIZE)
    assert set(letter_tokens(model, "AB")) == {"A", "B"}
    question = Question("Q?", ("a", "b"), "A")
    prompt = few_shot_prompt(model, Questions(None, (question,) * 5, (question,)), question)
    assert len(prompt.tokens) < 130
    assert prompt.text.count("Answer:") < 6
    with pytest.raises(MutascopeError, match="the context of"):
        few_shot_prompt(model, Questions(None, (), (question,)), Question("Q" * 130, ("a", "b"), "A"))


def test_the_gate_among_the_queries_is_a_locus_of_its_own():
    """Writing the gate of a head to zero halves what the head puts out, whatever it attends to."""
    network = qwen3_next()
    genome = find_genome(network)
    q, gate = genome.locus(0, "q"), genome.locus(0, "q_gate")
    assert (q.rows, gate.rows) == (HEADS * HEAD_DIM, HEADS * HEAD_DIM)
    module, seen = network.model.layers[0].self_attn, []
    module.o_proj.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    tokens = torch.tensor([[3, 4, 5]])
    with torch.no_grad():
        module.q_proj.weight[gate.features(0, gate.rows)] = 0
        network(tokens)
        module.q_proj.weight[q.features(0, HEAD_DIM)] = 0
        network(tokens)
    half, flat = seen
    assert torch.equal(half[..., HEAD_DIM:], flat[..., HEAD_DIM:])
    values = network.model.layers[0].self_attn.v_proj.weight
    assert not torch.equal(half[..., :HEAD_DIM], flat[..., :HEAD_DIM])
    assert values.shape[0] == KV_HEADS * HEAD_DIM


def test_a_gate_among_the_queries_of_a_layout_that_no_name_tells_stays_uncovered():
    network = qwen3_next()
    for layer in network.model.layers:
        layer.self_attn.__class__ = type("Gated", (type(layer.self_attn),), {})
    genome = find_genome(network)
    assert genome.kinds[:2] == ["k", "v"]
    assert "model.layers.0.self_attn.q_proj.weight" in dict(genome.uncovered)


@pytest.mark.parametrize(
    "name, fields, names",
    [
        (
            "GPTJConfig",
            {"n_embd": 48, "n_head": 4, "n_layer": 1, "rotary_dim": 8},
            ("mlp.fc_in", "mlp.fc_out"),
        ),
        ("MptConfig", {"d_model": 48, "n_heads": 4, "n_layers": 1}, ("ffn.up_proj", "ffn.down_proj")),
    ],
)
def test_the_names_of_mlps(name, fields, names):
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(getattr(transformers, name)(**fields))
    genome = find_genome(network)
    found = [genome.locus(0, kind).parameter for kind in ("up", "down")]
    assert [each.rpartition(".0.")[2] for each in found] == [f"{each}.weight" for each in names]


@pytest.mark.usefixtures("unpainted")
def test_the_share_that_is_screened_is_said_everywhere(tmp_path, cli, capfd):
    model = load_model(str(tiny_model(tmp_path / "m", "falcon", num_hidden_layers=1)))
    assay = TextAssay(name="t", prompt="Hi", max_new_tokens=3)
    screen = Screen(model, assay, Design(sample=2, kinds=("o",)), tile=16, engine="reference")
    screen.run(tmp_path / "out")
    fused, o, mlp = 3 * HIDDEN * HIDDEN, HIDDEN * HIDDEN, 2 * HIDDEN * 4 * HIDDEN
    whole = (fused + o + mlp) / 100
    said = (
        f"{o / whole:.3g} % of the weights of the layers; {fused / whole:.3g} % are no locus:"
        " transformer.h.0.self_attention.query_key_value"
    )
    assert said in capfd.readouterr().err.replace("\n", " ")
    assert said in " ".join(cli("status", tmp_path / "out").out.split())
    manifest = screen.home.manifest()
    assert sum(math.prod(matrix.shape) for matrix in manifest.uncovered) == fused
    assert cli("report", tmp_path / "out", "--out", tmp_path / "r.html").code == 0
    assert said.partition(";")[0] in (tmp_path / "r.html").read_text()
