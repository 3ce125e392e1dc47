"""Configurations, tokenizers and settings of texts that are refused in a sentence with the file and the cause."""

from __future__ import annotations

import pytest
from changes import (
    CONFIG,
    LFS,
    check_refusal,
    config,
    edited,
    lacking,
    nameless_template,
    tokenizer_model,
    write,
)

from builders import copy_model
from mutascope import MutascopeError, load_genome

REFUSED = {
    # configurations
    "a config that is empty": (write(CONFIG, ""), CONFIG, "is not JSON"),
    "a config with a comma too many": (write(CONFIG, '{"a": 1,}'), CONFIG, "is not JSON"),
    "a config nested without end": (write(CONFIG, "[" * 100_000), CONFIG, "nested too deeply"),
    "a type that is a list": (config(model_type=["llama"]), CONFIG, "which must be a text"),
    "a dtype that there is not": (config(dtype="float99"), "'float99'", "torch does not know"),
    "a dtype with its module": (config(dtype="torch.bfloat16"), "'torch.bfloat16'", "torch does not know"),
    "a config that is a list": (write(CONFIG, "[]"), CONFIG, "must hold an object, not list"),
    "a config in UTF-16": (write(CONFIG, '{"a": 1}'.encode("utf-16")), CONFIG, "is not UTF-8"),
    "no type of model": (lacking("model_type", "architectures"), "model_type", "cannot be loaded"),
    "a type of a later version": (config(model_type="llama9"), "llama9", "not known to transformers"),
    "a type that is no language model": (config(model_type="vit"), "it is a ViT", "causal language model"),
    "a text where a number is due": (config(hidden_size="48"), "hidden_size", "cannot be loaded"),
    "a fraction where a number is due": (
        config(num_hidden_layers=2.5),
        "num_hidden_layers",
        "cannot be loaded",
    ),
    "an unknown rope": (
        config(rope_parameters={"rope_type": "spiral", "rope_theta": 1e4}),
        "spiral",
        "cannot be loaded",
    ),
    "an unknown activation": (config(hidden_act="swoosh"), "swoosh", "cannot be loaded"),
    "more layers than there are stars": (
        config(num_hidden_layers=10**24),
        "config.json asks for 1,000,000,000,000,000,000,000,000 num_hidden_layers",
        "5,000 is the most",
    ),
    "experts of a part without end": (
        config(text_config={"num_experts": 10**9}),
        "1,000,000,000 num_experts",
        "5,000 is the most",
    ),
    "heads that do not divide": (
        config(num_attention_heads=5, num_key_value_heads=5, head_dim=None),
        "heads",
        "cannot be loaded",
    ),
    # tokenizers
    "no tokenizer": (
        lambda f: [path.unlink() for path in f.glob("*token*")],
        "has no tokenizer",
        "copy it",
    ),
    "a tokenizer of a later version": (tokenizer_model, "the tokenizer of", "cannot be loaded"),
    "a tokenizer that is a pointer": (write("tokenizer.json", LFS), "tokenizer.json", "git lfs pull"),
    "a tokenizer that is cut off": (
        write("tokenizer.json", '{"version": "1.0"'),
        "tokenizer.json",
        "not JSON",
    ),
    "settings of a tokenizer that are no JSON": (
        write("tokenizer_config.json", "{"),
        "tokenizer_config.json",
        "not JSON",
    ),
    "a tokenizer without its vocabulary": (
        lambda f: (f / "tokenizer.json").unlink(),
        "no vocabulary",
        "copy it",
    ),
    "a vocabulary that is a pointer": (
        lambda f: ((f / "tokenizer.json").unlink(), (f / "tokenizer.model").write_bytes(LFS)),
        "tokenizer.model",
        "git lfs pull",
    ),
    "a chat template that is a pointer": (
        write("chat_template.jinja", LFS),
        "chat_template.jinja",
        "git lfs pull",
    ),
    "a chat template in Latin-1": (write("chat_template.jinja", b"\xe9"), "chat_template.jinja", "not UTF-8"),
    "a list of templates without texts": (
        nameless_template,
        "the tokenizer of",
        "it has no 'template'",
    ),
    # other settings
    "a padding token as a text": (
        edited("generation_config.json", pad_token_id="</s>"),
        "the generation config of",
        "cannot be loaded",
    ),
    "settings of a compiler": (
        edited("generation_config.json", compile_config={"mode": "max-autotune"}),
        "the generation config of",
        "compile_config",
    ),
    "settings of texts that are no JSON": (
        write("generation_config.json", "{"),
        "generation_config.json",
        "not JSON",
    ),
    "settings of texts that are a list": (
        write("generation_config.json", "[]"),
        "generation_config.json",
        "must hold an object",
    ),
    "empty settings of texts": (write("generation_config.json", ""), "generation_config.json", "not JSON"),
    "rotary positions that nobody knows": (
        config(rope_parameters={"rope_type": "spiral", "rope_theta": 1e4}),
        "spiral",
        "does not know",
    ),
}


@pytest.mark.parametrize("change, first, second", REFUSED.values(), ids=REFUSED)
def test_settings_that_are_refused(llama_folder, tmp_path, change, first, second):
    check_refusal(llama_folder, tmp_path / "model", change, first, second)


@pytest.mark.parametrize(
    "change",
    [config(model_type="llama9"), config(hidden_size="48"), config(hidden_act="swoosh"), write(CONFIG, "[]")],
    ids=["unknown type", "text for a number", "unknown activation", "list"],
)
def test_a_genome_is_refused_as_the_model_is(llama_folder, tmp_path, change):
    folder = copy_model(llama_folder, tmp_path / "model")
    change(folder)
    with pytest.raises(MutascopeError) as told:
        load_genome(str(folder))
    assert "\n" not in str(told.value)
