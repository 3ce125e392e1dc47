"""What a checkpoint's generation config may ask for, and what becomes of it: one decision per field.

Fields that say *what* is picked stay in force. Those that only say *how* ``generate`` computes are reset, so that every
checkpoint runs alike. What does not fit one text per mutant is refused in a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from transformers import GenerationConfig, PreTrainedModel

from mutascope.core.errors import MutascopeError


class Use(Enum):
    """What becomes of a field."""

    PICKED = "implemented by both engines"
    GENERATE = "left to generate: reference engine, sampling of torch"
    RESET = "changes how generate computes, or what it returns: set to the library's default"
    NO_EFFECT = "nothing of what is run here reads it"
    REFUSED = "refused"


FIELDS: dict[str, Use] = {
    **dict.fromkeys(
        (
            *("do_sample", "temperature", "top_k", "top_p", "min_p"),
            *("max_length", "max_new_tokens", "eos_token_id"),
        ),
        Use.PICKED,
    ),
    **dict.fromkeys(
        (
            *("min_length", "min_new_tokens", "stop_strings", "forced_bos_token_id", "forced_eos_token_id"),
            *("top_h", "typical_p", "epsilon_cutoff", "eta_cutoff", "renormalize_logits"),
            *("repetition_penalty", "encoder_repetition_penalty", "no_repeat_ngram_size"),
            *("encoder_no_repeat_ngram_size", "exponential_decay_length_penalty", "bad_words_ids"),
            *("suppress_tokens", "begin_suppress_tokens", "sequence_bias", "guidance_scale"),
            "watermarking_config",
        ),
        Use.GENERATE,
    ),
    **dict.fromkeys(
        (
            *("use_cache", "cache_implementation", "cache_config", "max_cache_len", "prefill_chunk_size"),
            *("compile_config", "disable_compile", "continuous_batching_config", "low_memory"),
            *("use_mtp", "prompt_lookup_num_tokens", "assistant_early_exit", "speculation_type"),
            *("output_attentions", "output_hidden_states", "output_scores", "output_logits"),
            *("return_dict_in_generate", "num_return_sequences", "is_assistant"),
            "remove_invalid_values",  # a mutant whose logits are not finite is one of the things looked for
        ),
        Use.RESET,
    ),
    **dict.fromkeys(
        (
            *("pad_token_id", "bos_token_id", "decoder_start_token_id", "early_stopping", "length_penalty"),
            *("num_assistant_tokens", "num_assistant_tokens_schedule"),
            *("assistant_confidence_threshold", "assistant_lookbehind", "target_lookbehind"),
            *("assistant_ensemble_weight", "max_matching_ngram_size", "transformers_version"),
            "_from_model_config",
        ),
        Use.NO_EFFECT,
    ),
    **dict.fromkeys(
        (
            *("num_beams", "num_beam_groups", "diversity_penalty", "constraints", "force_words_ids"),
            *("penalty_alpha", "dola_layers", "token_healing", "max_time"),
        ),
        Use.REFUSED,
    ),
}
"""Every field of transformers' generation config; others have no effect."""

_WHY = {
    "penalty_alpha": "contrastive search",
    "dola_layers": "decoding by contrasting layers",
    "token_healing": "changing the end of the prompt",
    "max_time": "stopping by the clock, which no two runs do alike",
}
"""What the refused fields ask for; the others ask for beam search."""
_RANGES = {
    "temperature": (lambda value: 1e-6 <= value < math.inf, "finite, and at least 1e-6"),
    "top_k": (lambda value: value >= 0, "0 (all tokens) or more"),
    "top_p": (lambda value: 0 < value <= 1, "above 0 and at most 1"),
    "min_p": (lambda value: 0 <= value <= 1, "between 0 and 1"),
}
"""Values with which a token can be sampled."""
_FORCED = ("forced_bos_token_id", "forced_eos_token_id")
"""Fields that put tokens into a text."""
_EMPTY = ([], {}, "")
"""Lists of nothing, for which ``generate`` would look or which it would refuse."""
_ASK_NOTHING = {"guidance_scale": 1.0, "penalty_alpha": 0.0, "min_new_tokens": 0}
"""Values beside the library's defaults that ask for nothing."""
_TYPES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "true or false": (bool, ("renormalize_logits",)),
    "a whole number": (
        int,
        (
            *("top_k", "max_length", "max_new_tokens", "min_length", "min_new_tokens"),
            *("no_repeat_ngram_size", "encoder_no_repeat_ngram_size"),
        ),
    ),
    "a number": (
        float,
        (
            *("temperature", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff"),
            *("repetition_penalty", "encoder_repetition_penalty", "guidance_scale"),
        ),
    ),
    "a token id, or a list of them": (
        int | list[int],
        (
            *("eos_token_id", "pad_token_id", "bos_token_id", "forced_bos_token_id", "forced_eos_token_id"),
            *("suppress_tokens", "begin_suppress_tokens"),
        ),
    ),
    "a list of lists of token ids": (list[list[int]], ("bad_words_ids",)),
    "a text, or a list of them": (str | list[str], ("stop_strings",)),
    "a list of a step and a factor": (
        Annotated[list[float], Field(min_length=2, max_length=2)],
        ("exponential_decay_length_penalty",),
    ),
}
"""What the values of fields are, in words and as a type; ``generate`` says nothing of it before it fails."""


def reset(network: PreTrainedModel) -> None:
    """Let ``generate`` compute in the library's own way, whatever the checkpoint asks for.

    What asks for nothing stays untouched: a config as it was loaded can always be saved again.
    """
    config, usual = network.generation_config, GenerationConfig(use_cache=True)
    for name, use in FIELDS.items():
        value, unasked = getattr(config, name, None), getattr(usual, name, None)
        changed = value is not None and value != unasked and (value is not False or unasked)
        if (use is Use.RESET and changed) or (use is Use.GENERATE and value in _EMPTY):
            setattr(config, name, None)


def check(resolved: Mapping[str, Any], model: str, vocabulary: int) -> None:
    """Raise MutascopeError when the fields in force cannot be run.

    Args:
        resolved: every field in force.
        model: name of the model, for the sentence.
        vocabulary: number of its tokens.
    """
    whose = f"the generation config of {model}"
    for words, (type_, names) in _TYPES.items():
        adapter = TypeAdapter(type_, config=ConfigDict(strict=True))
        for name in names:
            if resolved.get(name) is not None and not _fits(adapter, resolved[name]):
                raise MutascopeError(f"{whose} has {name}={resolved[name]!r}, which must be {words}")
    for name in _FORCED:
        ids = resolved.get(name)
        outside = [token for token in _listed(ids) if not 0 <= token < vocabulary]
        if outside:
            raise MutascopeError(f"{whose} has {name}={ids}, and the model has {vocabulary} tokens")
    for name in asked(resolved):
        if FIELDS.get(name) is Use.REFUSED:
            raise MutascopeError(
                f"{whose} asks for {_WHY.get(name, 'beam search')} ({name}={resolved[name]}), and a mutant is one text,"
                f" token by token: remove {name} from its generation_config.json"
            )
    if resolved.get("do_sample"):
        for name, (possible, range_) in _RANGES.items():
            value = resolved.get(name)
            if value is not None and not possible(value):
                raise MutascopeError(
                    f"{whose} has {name}={value}, with which no token can be sampled: it must be {range_}; state"
                    f" {name} in the assay, or greedy: true"
                )


def _listed(ids: int | list[int] | None) -> list[int]:
    return [] if ids is None else ids if isinstance(ids, list) else [ids]


def _fits(adapter: TypeAdapter[Any], value: object) -> bool:
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True


def unsupported_fields(resolved: Mapping[str, Any]) -> list[str]:
    """Return the fields in force that are left to ``generate``, as ``name=value``."""
    left = [name for name in asked(resolved) if FIELDS.get(name, Use.GENERATE) is Use.GENERATE]
    return [f"{name}={resolved[name]}" for name in left]


def asked(resolved: Mapping[str, Any]) -> list[str]:
    """Return the names of the fields that are not at the library's default."""
    neutral = GenerationConfig._get_default_generation_params()
    return [
        name
        for name, value in resolved.items()
        if value is not None
        and value is not False
        and value not in (neutral.get(name), _ASK_NOTHING.get(name))
    ]
