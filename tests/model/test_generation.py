"""Every field that a checkpoint's generation config can have, on both engines."""

import json

import pytest
from transformers import GenerationConfig

from builders import copy_model, tiny_model
from mutascope import Design, MutascopeError, Screen, load_model
from mutascope.assays.text import TextAssay
from mutascope.model.generation import FIELDS, Use, unsupported_fields

ASKED = {
    "do_sample": False,
    "temperature": 1.3,
    "top_k": 4,
    "top_p": 0.5,
    "min_p": 0.2,
    "max_length": 11,
    "max_new_tokens": 5,
    "eos_token_id": [1, 40],
    "min_length": 10,
    "min_new_tokens": 6,
    "stop_strings": ["e", "a"],
    "forced_bos_token_id": 5,
    "forced_eos_token_id": 1,
    "top_h": 0.4,
    "typical_p": 0.3,
    "epsilon_cutoff": 0.1,
    "eta_cutoff": 0.1,
    "renormalize_logits": True,
    "repetition_penalty": 1.5,
    "encoder_repetition_penalty": 1.5,
    "no_repeat_ngram_size": 2,
    "encoder_no_repeat_ngram_size": 2,
    "exponential_decay_length_penalty": [2, 1.5],
    "bad_words_ids": [[7], [8, 9]],
    "suppress_tokens": [7, 8],
    "begin_suppress_tokens": [7, 8],
    "sequence_bias": [[[7], -5.0]],
    "guidance_scale": 1.5,
    "watermarking_config": {"greenlist_ratio": 0.25, "bias": 2.0, "hashing_key": 15485863},
    "use_cache": False,
    "cache_implementation": "static",
    "cache_config": {"backend": "quanto"},
    "max_cache_len": 64,
    "prefill_chunk_size": 2,
    "compile_config": {"dynamic": True},
    "disable_compile": True,
    "continuous_batching_config": {"block_size": 16},
    "low_memory": True,
    "use_mtp": True,
    "prompt_lookup_num_tokens": 3,
    "assistant_early_exit": 1,
    "speculation_type": "anything",
    "output_attentions": True,
    "output_hidden_states": True,
    "output_scores": True,
    "output_logits": True,
    "return_dict_in_generate": True,
    "num_return_sequences": 3,
    "remove_invalid_values": True,
    "pad_token_id": 2,
    "bos_token_id": 2,
    "decoder_start_token_id": 2,
    "early_stopping": True,
    "length_penalty": 2.0,
    "is_assistant": True,
    "num_assistant_tokens": 4,
    "num_assistant_tokens_schedule": "heuristic",
    "assistant_confidence_threshold": 0.1,
    "assistant_lookbehind": 3,
    "target_lookbehind": 3,
    "assistant_ensemble_weight": 0.5,
    "max_matching_ngram_size": 2,
    "transformers_version": "4.30.0",
    "_from_model_config": True,
    "num_beams": 3,
    "num_beam_groups": 2,
    "diversity_penalty": 0.5,
    "constraints": ["something"],
    "force_words_ids": [[7]],
    "penalty_alpha": 0.6,
    "dola_layers": "high",
    "token_healing": True,
    "max_time": 60.0,
}
"""Another value than the default of every field."""
PROMPT = "Hello"


def test_every_field_of_the_installed_transformers_has_a_decision():
    assert set(vars(GenerationConfig())) <= set(FIELDS)
    assert set(ASKED) == set(FIELDS)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("base") / "m", "llama", num_hidden_layers=2)


@pytest.fixture
def asking(base, tmp_path):
    """Loads the checkpoint with fields in its generation config."""

    def load(**fields):
        folder = copy_model(base, tmp_path / "m")
        path = folder / "generation_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
        return load_model(str(folder))

    return load


def screened(model, folder, engine):
    assay = TextAssay(name="t", prompt=PROMPT, max_new_tokens=8)
    screen = Screen(model, assay, Design(sample=2, kinds=("v",)), tile=16, engine=engine)
    screen.run(folder, quiet=True)
    return screen


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("field", sorted(FIELDS.keys() - {"compile_config"}))
def test_a_field_of_a_checkpoint_runs_alike_on_both_engines_or_is_refused(field, base, asking, tmp_path):
    model = asking(**{"do_sample": True, field: ASKED[field]})
    if FIELDS[field] is Use.REFUSED:
        with pytest.raises(MutascopeError, match=f"{field}=.*remove {field} from"):
            screened(model, str(tmp_path / "r"), "reference")
        return
    reference = screened(model, str(tmp_path / "r"), "reference")
    fast = screened(model, str(tmp_path / "f"), "fast")
    assert reference.records().equals(fast.records())
    assert reference.wild_type == fast.wild_type
    controls = reference.results.manifest.controls
    assert controls
    assert controls.replay_mismatches == []
    by_torch = reference.described_numerics.sampling == "stock"
    assert by_torch is (FIELDS[field] is Use.GENERATE)
    assert fast.session.engine.name == ("reference" if by_torch else "fast")
    if FIELDS[field] in (Use.RESET, Use.NO_EFFECT):
        plain = screened(load_model(str(base)), str(tmp_path / "p"), "fast")
        assert plain.records().equals(fast.records())
        assert plain.wild_type == fast.wild_type


def test_the_cache_is_used_whatever_the_config_says(tmp_path):
    folder = tiny_model(tmp_path / "m", "llama", num_hidden_layers=1, use_cache=False)
    (folder / "generation_config.json").unlink()
    screen = screened(load_model(str(folder)), str(tmp_path / "f"), "fast")
    assert screen.results.manifest.generation["use_cache"] is True


def test_stop_strings_end_a_text(asking, tmp_path):
    plain = screened(asking(), str(tmp_path / "p"), "reference")
    said = plain.resolved.continuation(plain.model, plain.wild_type[0])
    assert said
    (tmp_path / "m").rename(tmp_path / "before")
    stopped = screened(asking(stop_strings=said[3:5]), str(tmp_path / "s"), "reference")
    assert len(stopped.wild_type[0].tokens) <= 8
    assert stopped.results.manifest.generation["stop_strings"] == said[3:5]


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0.0},
        {"temperature": -1.0},
        {"temperature": float("inf")},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"min_p": 2.0},
    ],
)
def test_values_with_which_nothing_can_be_sampled_are_refused(asking, fields):
    model = asking(do_sample=True, **fields)
    (name,) = fields
    with pytest.raises(MutascopeError, match=f"has {name}=.*no token can be sampled"):
        TextAssay(name="t", prompt=PROMPT, max_new_tokens=3).resolve(model)
    greedy = TextAssay(name="t", prompt=PROMPT, max_new_tokens=3, greedy=True)
    assert len(Screen(model, greedy).wild_type[0].tokens) > 0


@pytest.mark.parametrize(
    "fields",
    [
        {"eos_token_id": "1"},
        {"temperature": "0.7"},
        {"top_p": "x"},
        {"top_k": 5.5},
        {"no_repeat_ngram_size": "2"},
        {"stop_strings": 5},
        {"exponential_decay_length_penalty": [2]},
        {"begin_suppress_tokens": "5"},
        {"bad_words_ids": 5},
        {"repetition_penalty": "1.1"},
        {"renormalize_logits": "yes"},
    ],
)
def test_a_value_of_another_type_is_one_sentence(asking, fields):
    model = asking(**fields)
    (name,) = fields
    with pytest.raises(MutascopeError, match=f"has {name}=.*, which must be "):
        TextAssay(name="t", prompt=PROMPT, max_new_tokens=3).resolve(model)


@pytest.mark.parametrize("fields", [{"repetition_penalty": -2.0}, {"bad_words_ids": [[-1]]}, {"top_h": 3.0}])
def test_what_generate_refuses_is_one_sentence(asking, fields):
    model = asking(**fields)
    with pytest.raises(MutascopeError, match="generate refuses"):
        assert Screen(model, TextAssay(name="t", prompt=PROMPT, max_new_tokens=3)).wild_type


def test_what_transformers_does_not_load_is_one_sentence(asking):
    with pytest.raises(
        MutascopeError, match=r"the generation config of .* cannot be loaded: .* `compile_config`"
    ):
        asking(compile_config=ASKED["compile_config"])


def test_fields_that_no_library_knows_have_no_effect(asking, tmp_path):
    screen = screened(asking(chat_format="chatml", max_window_size=6144), str(tmp_path / "f"), "fast")
    assert screen.session.engine.name == "fast"
    assert "chat_format" not in screen.results.manifest.generation


@pytest.mark.parametrize(
    "fields",
    [
        {"stop_strings": [], "bad_words_ids": [], "sequence_bias": {}, "suppress_tokens": []},
        {"stop_strings": "", "prefill_chunk_size": 0, "prompt_lookup_num_tokens": 0},
        {"guidance_scale": 1.0, "penalty_alpha": 0.0, "min_new_tokens": 0},
    ],
    ids=["empty lists", "zeros", "factors of one"],
)
def test_values_that_ask_for_nothing(fields, asking, base, tmp_path):
    screen = screened(asking(do_sample=True, **fields), str(tmp_path / "f"), "fast")
    plain = screened(load_model(str(base)), str(tmp_path / "p"), "fast")
    assert screen.session.engine.name == "fast"
    assert screen.records().equals(plain.records())


@pytest.mark.parametrize(
    "fields", [{"forced_bos_token_id": 0}, {"guidance_scale": 0.0}, {"suppress_tokens": 0}]
)
def test_a_zero_may_ask_for_something(fields):
    assert unsupported_fields(fields)


@pytest.mark.parametrize("field", ["forced_bos_token_id", "forced_eos_token_id"])
@pytest.mark.parametrize("token", [99_999, -1, [5, 99_999]])
def test_a_forced_token_that_there_is_not(field, token, asking):
    with pytest.raises(MutascopeError, match=f"has {field}=.*, and the model has 103 tokens|a token id"):
        TextAssay(name="t", prompt=PROMPT, max_new_tokens=3).resolve(asking(**{field: token}))
