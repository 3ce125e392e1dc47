"""Which part of a network is the language model."""

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM

from builders import _LLAMA, HEADS, HIDDEN, INTERMEDIATE, tiny_tokenizer
from mutascope import MutascopeError, load_model
from mutascope.assays.choice import few_shot_prompt, letter_tokens
from mutascope.assays.questions import Question, Questions
from mutascope.model.discovery import decoder_layers, find_genome

SIZE = len(tiny_tokenizer())
LAYERS = 2
TEXT = {**_LLAMA, "num_hidden_layers": LAYERS, "vocab_size": SIZE, "bos_token_id": 0, "eos_token_id": 1}
TOWER = {
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
