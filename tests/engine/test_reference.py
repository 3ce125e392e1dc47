"""The reference engine against a plain loop that knows the checkpoints' own layouts, not mutascope's."""

import itertools
import random
from typing import Any

import polars as pl
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from builders import HEAD_DIM, HEADS, HIDDEN, INTERMEDIATE, KV_HEADS, tiny_model
from mutascope import Design, Model, Mutant, MutascopeError, Screen, TextAssay, Tiling, load_assay, load_model
from mutascope.model.loading import fingerprint

TILE = 7  # divides none of the sides
PROMPT = "Once upon a time:"
SAMPLED = {"do_sample": True, "temperature": 0.7, "max_new_tokens": 12}
GREEDY = {"do_sample": False, "max_new_tokens": 12}


# Every kind of every family by hand: (module of layer 1, shape [rows, cols]).


def llama_matrices(head_dim: int = HEAD_DIM) -> dict[str, tuple[str, tuple[int, int]]]:
    attention, mlp = "model.layers.1.self_attn", "model.layers.1.mlp"
    return {
        "q": (f"{attention}.q_proj", (HEADS * head_dim, HIDDEN)),
        "k": (f"{attention}.k_proj", (KV_HEADS * head_dim, HIDDEN)),
        "v": (f"{attention}.v_proj", (KV_HEADS * head_dim, HIDDEN)),
        "o": (f"{attention}.o_proj", (HIDDEN, HEADS * head_dim)),
        "gate": (f"{mlp}.gate_proj", (INTERMEDIATE, HIDDEN)),
        "up": (f"{mlp}.up_proj", (INTERMEDIATE, HIDDEN)),
        "down": (f"{mlp}.down_proj", (HIDDEN, INTERMEDIATE)),
    }


MATRICES = {
    **{family: llama_matrices() for family in ("llama", "mistral", "qwen2", "gemma", "gemma2", "gemma3")},
    "qwen3": llama_matrices(16),
    "gpt2": {
        "q": ("transformer.h.1.attn.c_attn", (HIDDEN, HIDDEN)),
        "k": ("transformer.h.1.attn.c_attn", (HIDDEN, HIDDEN)),
        "v": ("transformer.h.1.attn.c_attn", (HIDDEN, HIDDEN)),
        "o": ("transformer.h.1.attn.c_proj", (HIDDEN, HIDDEN)),
        "up": ("transformer.h.1.mlp.c_fc", (INTERMEDIATE, HIDDEN)),
        "down": ("transformer.h.1.mlp.c_proj", (HIDDEN, INTERMEDIATE)),
    },
    "gpt_neox": {
        "q": ("gpt_neox.layers.1.attention.query_key_value", (HIDDEN, HIDDEN)),
        "k": ("gpt_neox.layers.1.attention.query_key_value", (HIDDEN, HIDDEN)),
        "v": ("gpt_neox.layers.1.attention.query_key_value", (HIDDEN, HIDDEN)),
        "o": ("gpt_neox.layers.1.attention.dense", (HIDDEN, HIDDEN)),
        "up": ("gpt_neox.layers.1.mlp.dense_h_to_4h", (INTERMEDIATE, HIDDEN)),
        "down": ("gpt_neox.layers.1.mlp.dense_4h_to_h", (HIDDEN, INTERMEDIATE)),
    },
}


def plain_matrix(network, family: str, kind: str) -> torch.Tensor:
    """A copy of the matrix [rows, cols], taken out of the checkpoint as its attention code takes it."""
    weight = network.get_submodule(MATRICES[family][kind][0]).weight.data
    part = "qkv".find(kind)
    if family == "gpt2":
        weight = weight.T
        return weight[part * HIDDEN : (part + 1) * HIDDEN].clone() if part >= 0 else weight.clone()
    if family == "gpt_neox" and part >= 0:
        return weight.view(HEADS, 3, HEAD_DIM, HIDDEN)[:, part].reshape(HIDDEN, HIDDEN).clone()
    return weight.clone()


def put_matrix(network, family: str, kind: str, matrix: torch.Tensor) -> None:
    weight = network.get_submodule(MATRICES[family][kind][0]).weight.data
    part = "qkv".find(kind)
    if family == "gpt2" and part >= 0:
        weight[:, part * HIDDEN : (part + 1) * HIDDEN] = matrix.T
    elif family == "gpt2":
        weight[:] = matrix.T
    elif family == "gpt_neox" and part >= 0:
        weight.view(HEADS, 3, HEAD_DIM, HIDDEN)[:, part] = matrix.view(HEADS, HEAD_DIM, HIDDEN)
    else:
        weight[:] = matrix


class PlainLoop:
    """The paper's loop: edit the weight by hand, seed, generate, decode, put the weight back."""

    def __init__(self, folder: str, family: str, arguments: dict) -> None:
        self.network: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.family, self.arguments = family, arguments

    def wild_type(self) -> tuple[str, list[int]]:
        tokens = self.tokenizer(PROMPT, return_tensors="pt").input_ids
        torch.manual_seed(3)
        sequence = self.network.generate(tokens, attention_mask=torch.ones_like(tokens), **self.arguments)[0]
        return self.tokenizer.decode(sequence), sequence[tokens.shape[1] :].tolist()

    def mutant(self, mutant: Mutant) -> tuple[str, list[int]]:
        matrix = plain_matrix(self.network, self.family, mutant.kind)
        changed, (top, left) = matrix.clone(), (mutant.row * TILE, mutant.col * TILE)
        value = {"max": matrix.max(), "min": matrix.min(), "zero": 0.0}[mutant.mutation]
        changed[top : top + TILE, left : left + TILE] = value
        put_matrix(self.network, self.family, mutant.kind, changed)
        try:
            return self.wild_type()
        finally:
            put_matrix(self.network, self.family, mutant.kind, matrix)


def random_mutants(family: str, seed: int) -> list[Mutant]:
    """A mutant per kind at a random site, and one in the ragged corner."""
    draw = random.Random(f"{family} {seed}")
    mutants, corners = [], []
    for kind, (_, shape) in MATRICES[family].items():
        rows, cols = (-(-side // TILE) for side in shape)
        mutation = draw.choice(["max", "min", "zero"])
        mutants.append(Mutant(1, kind, draw.randrange(rows), draw.randrange(cols), mutation))
        corners.append(Mutant(1, kind, rows - 1, cols - 1, "max"))
    return [*mutants, corners[-1]]


def write_list(mutants: list[Mutant], path) -> str:
    pl.DataFrame(mutants).write_csv(path)
    return str(path)


@pytest.mark.parametrize("family", list(MATRICES))
@pytest.mark.parametrize("arguments", [SAMPLED, GREEDY], ids=["sampled", "greedy"])
def test_records_equal_a_plain_loop(family, arguments, tmp_path):
    folder = str(tiny_model(tmp_path / "model", family, seed=5))
    mutants = random_mutants(family, seed=1)
    stated = {key: value for key, value in arguments.items() if key != "do_sample"}
    assay = TextAssay(name="t", prompt=PROMPT, seed=3, greedy=not arguments["do_sample"], **stated)
    screen = Screen(
        folder,
        assay,
        Design(mutants=write_list(mutants, tmp_path / "list.csv")),
        tile=TILE,
        engine="reference",
    )
    before = fingerprint(screen.model.network)
    screen.run(tmp_path / "out", quiet=True)
    assert fingerprint(screen.model.network) == before

    loop = PlainLoop(folder, family, arguments)
    wild_text, wild_tokens = loop.wild_type()
    assert screen.results.wild_type == wild_text
    records = screen.results.texts()
    for mutant, record in zip(mutants, records.iter_rows(named=True), strict=True):
        text, tokens = loop.mutant(mutant)
        differing = [i for i, (a, b) in enumerate(itertools.zip_longest(wild_tokens, tokens)) if a != b]
        assert record["text"] == text, mutant
        assert record["silent"] == (text == wild_text), mutant
        assert record["first_divergence"] == (differing[0] if differing else None), mutant
    assert not records["silent"].all()  # the comparison had something to find


def test_mutants_of_one_screen_do_not_depend_on_their_order(llama, tmp_path):
    assay = TextAssay(name="t", prompt=PROMPT, max_new_tokens=8)
    forward = Screen(
        llama, assay, Design(layers=(0, 2), kinds=("v",), rows=(1,)), tile=12, engine="reference"
    )
    forward.run(tmp_path / "forward", quiet=True)
    mutants = forward.plan.mutants()
    listed = Design(mutants=write_list(mutants[::-1], tmp_path / "list.csv"))
    backward = Screen(llama, assay, listed, tile=12, engine="reference")
    backward.run(tmp_path / "backward", quiet=True)
    assert backward.records()[::-1].equals(forward.records())


# the non-finite phenotype


def overflowing(tmp_path, value: float = 1e38) -> Model:
    """A model whose ``0.down`` holds one huge weight: ``max`` anywhere else in the matrix overflows to inf."""
    folder = tiny_model(tmp_path / "huge", "llama", seed=2)
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    matrix = network.model.layers[0].mlp.down_proj.weight.data
    matrix[0, 0] = value
    network.model.layers[0].mlp.up_proj.weight.data[0] = 0  # nothing flows through the huge weight itself
    network.save_pretrained(folder)
    return load_model(str(folder))


@pytest.mark.parametrize("greedy", [True, False])
def test_non_finite_mutants_share_one_phenotype_and_the_screen_goes_on(tmp_path, greedy):
    model = overflowing(tmp_path)
    assay = TextAssay(name="t", prompt=PROMPT, max_new_tokens=6, greedy=greedy)
    screen = Screen(
        model, assay, Design(layers=(0,), kinds=("down",), rows=(0, 1)), tile=16, engine="reference"
    )
    screen.run(tmp_path / "out", quiet=True)
    records = screen.results.texts()
    assert len(records) == 2 * 5 * 2
    broken = records.filter(pl.col("text").is_null())
    maxima = records.filter(mutation="max")
    assert broken["mutation"].unique().to_list() == ["max"]
    assert len(broken) == len(maxima)
    assert broken["phenotype"].unique().to_list() == ["non-finite"]
    assert not broken["silent"].any()
    assert broken["first_divergence"].to_list() == [0] * len(broken)
    assert records.filter(mutation="min")["text"].null_count() == 0
    phenotypes = screen.results.phenotypes().filter(phenotype="non-finite")
    assert phenotypes.rows() == [("non-finite", None, None)]
    assert fingerprint(model.network) == model.fingerprint
    assert "non-finite" not in screen.results.manifest.wild_type[0].phenotype


def test_a_wild_type_that_is_not_finite_is_refused(tmp_path):
    folder = tiny_model(tmp_path / "broken", "llama")
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    network.lm_head.weight.data[5, 5] = float("nan")
    network.save_pretrained(folder)
    screen = Screen(
        str(folder), TextAssay(name="t", prompt=PROMPT, max_new_tokens=3), tile=16, engine="reference"
    )
    with pytest.raises(MutascopeError, match="itself puts out NaN or inf"):
        screen.run(tmp_path / "out", quiet=True)
    assert not (tmp_path / "out").exists()


# the default model


SMOLLM2_MODULES = {
    **{kind: f"self_attn.{kind}_proj" for kind in "qkvo"},
    **{kind: f"mlp.{kind}_proj" for kind in ("gate", "up", "down")},
}


def independent_texts(folder: str, mutants: list[Mutant], tile: int, length: int) -> list[str]:
    """The wild type's text, then the mutants', without a line of mutascope."""
    network: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer("The life cycle of Drosophila:", return_tensors="pt")

    def text() -> str:
        torch.manual_seed(0)
        sequence = network.generate(**inputs, max_length=length, do_sample=True, temperature=0.7)
        return tokenizer.decode(sequence[0])

    texts = [text()]
    for mutant in mutants:
        module = network.get_submodule(f"model.layers.{mutant.layer}.{SMOLLM2_MODULES[mutant.kind]}")
        weight = module.weight.data
        wild, rows = weight.clone(), slice(mutant.row * tile, (mutant.row + 1) * tile)
        weight[rows, mutant.col * tile : (mutant.col + 1) * tile] = getattr(wild, mutant.mutation)()
        texts.append(text())
        weight[:] = wild
    return texts


def check_smollm2(model: Model, tmp_path, count: int, length: int) -> None:
    draw = random.Random(20)
    mutants = []
    for i in range(count):
        locus = model.genome.locus(draw.randrange(30), list(SMOLLM2_MODULES)[i % 7])
        rows, cols = Tiling(8).grid(locus)
        site = draw.randrange(rows), draw.randrange(cols)
        mutants.append(Mutant(locus.layer, locus.kind, *site, draw.choice(["max", "min"])))
    design = Design(mutants=write_list(mutants, tmp_path / "list.csv"))
    screen = Screen(model, load_assay("drosophila", max_length=length), design, engine="reference")
    screen.run(tmp_path / "out", quiet=True)
    wild, *texts = independent_texts(model.network.config._name_or_path, mutants, 8, length)
    assert screen.results.wild_type == wild
    records = screen.results.texts()
    assert records["text"].to_list() == texts
    assert records["silent"].to_list() == [text == wild for text in texts]


def test_default_model_equals_an_independent_script(smollm2, tmp_path):
    check_smollm2(smollm2, tmp_path, 3, length=30)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_default_model_equals_an_independent_script_on_20_mutants_of_the_preset(smollm2, tmp_path):
    check_smollm2(smollm2, tmp_path, 20, length=150)
