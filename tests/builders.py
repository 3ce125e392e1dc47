"""Small models of random weights, with a tokenizer made on the spot: real architectures, no network.

``tiny_model(folder, "llama")`` writes a checkpoint that ``load_model`` reads. The weights are large enough that
outputs vary and that mutants range from silent to non-silent.
"""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from random import Random
from string import ascii_uppercase
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from mutascope import Model, Tiling
from mutascope.core.protocol import Probe
from mutascope.engine.reference import ReferenceEngine
from mutascope.model.families import is_known

BOS, EOS, UNKNOWN = "<s>", "</s>", "<unk>"
CHAT_TEMPLATE = (
    "{% for m in messages %}<s>{{ m['role'] }}:{{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant:{% endif %}"
)
HIDDEN, INTERMEDIATE, HEADS, KV_HEADS, HEAD_DIM, LAYERS = 48, 80, 4, 2, 12, 3

_LLAMA = {
    "hidden_size": HIDDEN,
    "intermediate_size": INTERMEDIATE,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "num_hidden_layers": LAYERS,
    "head_dim": HEAD_DIM,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
}
_NO_GROUPS = {key: value for key, value in _LLAMA.items() if key not in ("num_key_value_heads", "head_dim")}
_GEMMA2 = {**_LLAMA, "query_pre_attn_scalar": HEAD_DIM, "sliding_window": 16}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", _LLAMA),
    "mistral": ("MistralConfig", {**_LLAMA, "sliding_window": None}),
    "qwen2": ("Qwen2Config", {key: value for key, value in _LLAMA.items() if key != "head_dim"}),
    "qwen3": ("Qwen3Config", {**_LLAMA, "head_dim": 16}),
    "gemma": ("GemmaConfig", {**_LLAMA, "tie_word_embeddings": True}),
    "gemma2": ("Gemma2Config", _GEMMA2),
    "gemma3": ("Gemma3TextConfig", _GEMMA2),
    "phi": ("PhiConfig", {**_LLAMA, "partial_rotary_factor": 0.5}),
    "phi3": ("Phi3Config", {**_LLAMA, "original_max_position_embeddings": 512}),
    "starcoder2": ("Starcoder2Config", {**_LLAMA, "sliding_window": 16}),
    "opt": (
        "OPTConfig",
        {
            "hidden_size": HIDDEN,
            "ffn_dim": INTERMEDIATE,
            "num_attention_heads": HEADS,
            "num_hidden_layers": LAYERS,
            "max_position_embeddings": 512,
            "word_embed_proj_dim": HIDDEN,
        },
    ),
    "gpt2": (
        "GPT2Config",
        {"n_embd": HIDDEN, "n_inner": INTERMEDIATE, "n_head": HEADS, "n_layer": LAYERS, "n_positions": 512},
    ),
    "gpt_neox": ("GPTNeoXConfig", _NO_GROUPS),
    "bloom": ("BloomConfig", {"hidden_size": HIDDEN, "n_head": HEADS, "n_layer": LAYERS}),
    "falcon": (
        "FalconConfig",
        {
            "hidden_size": HIDDEN,
            "num_attention_heads": HEADS,
            "num_hidden_layers": LAYERS,
            "new_decoder_architecture": False,
            "multi_query": False,
        },
    ),
    "codegen": (
        "CodeGenConfig",
        {
            "n_embd": HIDDEN,
            "n_inner": INTERMEDIATE,
            "n_head": HEADS,
            "n_layer": LAYERS,
            "n_positions": 512,
            "rotary_dim": 8,
        },
    ),
    "gpt_bigcode": (
        "GPTBigCodeConfig",
        {"n_embd": HIDDEN, "n_inner": INTERMEDIATE, "n_head": HEADS, "n_layer": LAYERS, "n_positions": 512},
    ),
    "mixtral": ("MixtralConfig", {**_LLAMA, "num_local_experts": 2, "num_experts_per_tok": 1}),
}
"""Family name: configuration class of transformers, and its small dimensions."""


@cache
def known_families() -> tuple[str, ...]:
    """The families whose arithmetic mutascope knows, as keys of ``FAMILIES``."""
    return tuple(name for name in FAMILIES if is_known(tiny_network(name)))


_BYTE_NAMES = {" ": "Ġ", "\n": "Ċ"}
"""Characters that stand for another byte in byte-level vocabularies."""


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A token per ASCII character, and four bytes that are no text of their own: ``é`` is a pair of them, alone
    each decodes to the replacement character, so that different tokens can decode to the same text."""
    alphabet = [*(_BYTE_NAMES.get(chr(code), chr(code)) for code in (*range(32, 127), 10)), *"Ã©¨¼"]
    vocabulary = {token: i for i, token in enumerate([BOS, EOS, UNKNOWN, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def tiny_network(family: str, seed: int = 0, *, std: float = 0.25, **config_changes: Any) -> PreTrainedModel:
    """A model of random weights (all matrices normal with ``std``), its vocabulary that of ``tiny_tokenizer``."""
    name, fields = FAMILIES[family]
    size = len(tiny_tokenizer())
    tokens = {"vocab_size": size, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    config = getattr(transformers, name)(**{**fields, **tokens, **config_changes})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        for parameter in network.parameters():
            if parameter.ndim >= 2:
                torch.nn.init.normal_(parameter, std=std)
    return network.eval()


def tiny_model(
    folder: str | Path,
    family: str,
    seed: int = 0,
    *,
    std: float = 0.25,
    generation: dict[str, Any] | None = None,
    **config_changes: Any,
) -> Path:
    """Write a small random checkpoint of an architecture with its tokenizer, and return its folder.

    Args:
        folder: where to; made if need be.
        family: a key of ``FAMILIES``.
        seed: of the weights.
        std: standard deviation of the weights.
        generation: fields of the generation config, such as ``{"top_p": 0.9}``.
        config_changes: fields of the configuration.
    """
    tiny_network(family, seed, std=std, **config_changes).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    path = Path(folder) / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **(generation or {})}))
    return Path(folder)


def config_only(folder: str | Path, family: str, **config_changes: Any) -> Path:
    """Write nothing but the config.json of an architecture, and return its folder."""
    getattr(transformers, FAMILIES[family][0])(**config_changes).save_pretrained(folder)
    return Path(folder)


def copy_model(source: Path, folder: Path) -> Path:
    """Copy a checkpoint, to damage or change the copy."""
    return Path(shutil.copytree(source, folder))


def choice_model(folder: str | Path, letters: str = "ABCD") -> Path:
    """Write a small Llama that mostly answers with letters, and return its folder."""
    network = tiny_network("llama", max_position_embeddings=2048)
    tokenizer = tiny_tokenizer()
    with torch.no_grad():
        for token in map(tokenizer.convert_tokens_to_ids, letters):
            network.lm_head.weight[token] *= 4
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)


def question_rows(count: int, choices: int = 4, seed: int = 0) -> list[list[str]]:
    """Questions as rows of text, choices and key."""
    random = Random(seed)
    words = ["ant", "bee", "cow", "dog", "elk", "fox", "gnu", "hen", "jay", "owl"]
    letters = ascii_uppercase[:choices]
    return [
        [f"Q{number} {random.choice(words)}?", *random.sample(words, choices), random.choice(letters)]
        for number in range(count)
    ]


def ask_wild_type(model: Model) -> Probe:
    """Asks the reference engine, for assays that choose their prompts."""
    return ReferenceEngine(model, Tiling(1)).read_out
