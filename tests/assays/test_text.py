"""Text assays: the paper's presets, YAML, and sampling fields that are those of a plain ``generate``."""

from typing import Any

import pytest
import torch
import yaml
from pydantic import ValidationError
from transformers import AutoModelForCausalLM, AutoTokenizer

from builders import tiny_model, tiny_tokenizer
from mutascope import Design, MutascopeError, Screen, TextAssay, load_assay, load_model
from mutascope.assays import PRESETS, PanelAssay
from mutascope.assays.text import TEXT_PRESETS

BUBBLE_PYTHON = "The following is a python program for bubble sort:"
TABLE = {
    "python0": (BUBBLE_PYTHON, 0, 150),
    "python10": (BUBBLE_PYTHON, 10, 150),
    "java": ("The following is a Java program for bubble sort:", 0, 150),
    "drosophila": ("The life cycle of Drosophila:", 0, 150),
    "newton": ("The scientific accomplishments and influences of Isaac Newton:", 0, 300),
    "p53": (
        "Tell me 10 different signal pathways through which p53 is involved in cancer development:",
        0,
        300,
    ),
}
"""METHOD, Text assays: prompt, seed, max_length."""
PROMPT = "Once upon a time:"


def test_presets_are_those_of_the_paper():
    stated = {name: (a.prompt, a.seed, a.max_length) for name, a in TEXT_PRESETS.items()}
    assert stated == TABLE
    for name, assay in TEXT_PRESETS.items():
        assert assay.name == name
        assert assay.arguments() == {"max_length": TABLE[name][2], "temperature": 0.7, "do_sample": True}
        assert load_assay(name) == assay


def test_a_preset_takes_overrides():
    assay = load_assay("newton", seed=4, max_length=40)
    assert isinstance(assay, TextAssay)
    assert (assay.seed, assay.max_length, assay.prompt) == (4, 40, TABLE["newton"][0])
    with pytest.raises(MutascopeError, match="temperature"):
        load_assay("newton", temperature=-1)


@pytest.mark.parametrize(
    "assay",
    [
        *PRESETS.values(),
        TextAssay(name="a", prompt="é\n'\"", max_new_tokens=5, greedy=True),
        TextAssay(name="b", prompt="x", max_length=9, top_k=0, top_p=0.5, min_p=0.1, seed=2**40),
        TextAssay(
            name="c",
            messages=({"role": "system", "content": "S"}, {"role": "user", "content": "U"}),  # pyright: ignore[reportArgumentType]
            max_new_tokens=3,
        ),
    ],
    ids=lambda assay: assay.name,
)
def test_an_assay_survives_yaml_and_the_manifest(assay, tmp_path):
    path = tmp_path / "assay.yaml"
    path.write_text(
        yaml.safe_dump(assay.model_dump(mode="json", exclude_none=True), allow_unicode=True), "utf-8"
    )
    assert load_assay(str(path)) == assay
    assert type(assay).model_validate_json(assay.model_dump_json(exclude_none=True)) == assay


def test_an_assay_file_is_called_after_itself_unless_it_says_otherwise(tmp_path):
    (tmp_path / "mine.yml").write_text("prompt: x\nmax_length: 9\n")
    assert load_assay(str(tmp_path / "mine.yml")).name == "mine"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"prompt": "x", "max_length": 9, "max_new_tokens": 9},
        {"prompt": "x", "messages": [], "max_length": 9},
        {"prompt": "x", "max_length": 0},
        {"prompt": "x", "max_length": 9, "temperature": 0},
        {"prompt": "x", "max_length": 9, "top_k": -1},
        {"prompt": "x", "max_length": 9, "top_p": 0},
        {"prompt": "x", "max_length": 9, "min_p": 2},
        {"prompt": "x", "max_length": 9, "greedy": True, "temperature": 0.7},
        {"prompt": "x", "max_length": 9, "beams": 4},
    ],
)
def test_an_impossible_assay_is_refused(fields):
    with pytest.raises(ValidationError):
        TextAssay(name="t", **fields)


# resolved fields

GENERATION_CONFIGS = {
    "none": {},
    "llama 2": {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "max_length": 4096},
    "narrow": {"top_k": 3, "repetition_penalty": 1.3},
    "short": {"max_new_tokens": 6, "min_p": 0.05},
    "long": {"max_length": 30, "top_p": 0.5},
}
ASSAYS = {
    "preset-like": {"max_length": 28, "temperature": 0.7},
    "new tokens": {"max_new_tokens": 9},
    "everything": {"max_new_tokens": 9, "temperature": 1.5, "top_k": 7, "top_p": 0.8, "min_p": 0.01},
    "no top_k": {"max_new_tokens": 9, "top_k": 0},
    "greedy": {"max_new_tokens": 9, "greedy": True},
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """The same weights with different generation configs."""
    base = tmp_path_factory.mktemp("generation")
    return {
        name: tiny_model(base / name, "llama", generation=fields, num_hidden_layers=1)
        for name, fields in GENERATION_CONFIGS.items()
    }


@pytest.mark.parametrize("config", list(GENERATION_CONFIGS))
@pytest.mark.parametrize("stated", list(ASSAYS))
def test_the_wild_type_is_that_of_a_plain_generate(checkpoints, config, stated):
    folder, fields = str(checkpoints[config]), ASSAYS[stated]
    network: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer(PROMPT, return_tensors="pt").input_ids
    arguments = {key: value for key, value in fields.items() if key != "greedy"}
    torch.manual_seed(6)
    sequence = network.generate(
        tokens, attention_mask=torch.ones_like(tokens), do_sample="greedy" not in fields, **arguments
    )[0]

    model = load_model(folder)
    screen = Screen(model, TextAssay(name="t", prompt=PROMPT, seed=6, **fields), engine="reference")
    (output,) = screen.wild_type
    assert list(output.tokens) == sequence[tokens.shape[1] :].tolist()
    assert screen.resolved.text(model, output) == tokenizer.decode(sequence)

    # what was resolved is what was in force: stated in full, to a model without a config of its own, it does the same
    resolved = screen.resolved.readout.resolved
    bare: Any = AutoModelForCausalLM.from_pretrained(checkpoints["none"], dtype=torch.float32)
    names = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "do_sample", "max_new_tokens")
    torch.manual_seed(6)
    again = bare.generate(
        tokens,
        attention_mask=torch.ones_like(tokens),
        **{name: resolved[name] for name in names if name in resolved},
    )[0]
    assert again.tolist() == sequence.tolist()
    assert resolved["max_length"] == tokens.shape[1] + resolved["max_new_tokens"]
    if sequence[-1] != tokenizer.eos_token_id:
        assert len(sequence) == resolved["max_length"]


def test_every_field_in_force_is_recorded_defaults_included(checkpoints):
    assay = TextAssay(name="t", prompt=PROMPT, max_length=40, temperature=0.7)
    plain = assay.resolve(load_model(str(checkpoints["none"]))).readout.resolved
    assert plain["top_k"] == 50  # the library's default (METHOD)
    assert plain["top_p"] == 1.0
    assert plain["temperature"] == 0.7
    assert plain["do_sample"] is True
    assert plain["eos_token_id"] == 1
    llama2 = assay.resolve(load_model(str(checkpoints["llama 2"]))).readout.resolved
    assert (llama2["temperature"], llama2["top_p"], llama2["top_k"], llama2["max_length"]) == (
        0.7,
        0.9,
        50,
        40,
    )


@pytest.mark.parametrize("seed", [-(2**63), 2**64 - 1])
def test_every_seed_of_torch_is_taken(llama, seed):
    assay = TextAssay(name="t", prompt="Hi", max_new_tokens=2, seed=seed)
    assert len(Screen(llama, assay, engine="reference").wild_type[0].tokens) == 2


# prompts


def test_a_prompt_is_raw_text_with_the_tokenizers_own_special_tokens(llama):
    (prompt,) = TextAssay(name="t", prompt="Hi", max_new_tokens=2).resolve(llama).prompts
    assert tiny_tokenizer().convert_ids_to_tokens(list(prompt.tokens)) == ["<s>", "H", "i"]


def test_messages_go_through_the_chat_template_once(llama):
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    (prompt,) = TextAssay(name="t", messages=messages, max_new_tokens=2).resolve(llama).prompts  # pyright: ignore[reportArgumentType]
    assert prompt.text == "<s>user:Hi</s><s>assistant:Ho</s><s>assistant:"
    expected = llama.tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    assert list(prompt.tokens) == expected
    assert prompt.tokens.count(0) == 3  # no second start token in front


def test_a_chat_screen_runs(llama, tmp_path):
    assay = TextAssay(name="chat", messages=[{"role": "user", "content": "Hi"}], max_new_tokens=4)  # pyright: ignore[reportArgumentType]
    screen = Screen(llama, assay, Design(sample=2), tile=16)
    screen.run(tmp_path / "out", quiet=True)
    assert screen.results.wild_type.startswith("<s>user:Hi</s><s>assistant:")
    assert len(screen.records()) == 4


def test_texts_keep_special_tokens_and_continuations_do_not(tmp_path):
    """A model that ends at once: its text says so."""
    folder = tiny_model(tmp_path / "model", "llama", num_hidden_layers=1)
    network = AutoModelForCausalLM.from_pretrained(folder)
    network.lm_head.weight.data[:] = 0
    network.save_pretrained(folder)  # all logits are equal: the greedy token is token 0, the start token
    model = load_model(str(folder))
    screen = Screen(
        model, TextAssay(name="t", prompt="Hi", max_new_tokens=2, greedy=True), engine="reference"
    )
    (output,) = screen.wild_type
    assert screen.resolved.text(model, output) == "<s>Hi<s><s>"
    assert screen.resolved.continuation(model, output) == ""


@pytest.mark.parametrize("family", ["gpt2", "opt"])
def test_learned_positions_bound_the_length(llama, tmp_path, family):
    model = load_model(str(tiny_model(tmp_path / "m", family, max_position_embeddings=24)))
    (tmp_path / "p.txt").write_text("Hi\nHello you\n")
    panel = PanelAssay(name="p", prompts=str(tmp_path / "p.txt"), max_length=25)
    new = TextAssay(name="t", prompt=PROMPT, max_new_tokens=7)
    for assay in (TextAssay(name="t", prompt=PROMPT, max_length=25), new, panel):
        with pytest.raises(MutascopeError, match=r"up to 25 tokens, prompt included, .* positions for 24:"):
            assay.resolve(model)
    fits = TextAssay(name="t", prompt=PROMPT, max_length=24, greedy=True)
    assert len(Screen(model, fits, engine="reference").wild_type[0].tokens) > 0
    panel.model_copy(update={"max_length": 24}).resolve(model)
    TextAssay(name="t", prompt=PROMPT, max_length=900).resolve(llama)


@pytest.mark.parametrize("length", [1, 17, 18])
def test_a_prompt_must_leave_room_for_a_token(llama, length):
    assert len(llama.tokenizer(PROMPT).input_ids) == 18
    with pytest.raises(
        MutascopeError, match=f"has 18 tokens, which leaves no room to generate within max_length {length}"
    ):
        TextAssay(name="t", prompt=PROMPT, max_length=length).resolve(llama)
    resolved = TextAssay(name="t", prompt=PROMPT, max_length=19).resolve(llama).readout.resolved
    assert resolved["max_new_tokens"] == 1
