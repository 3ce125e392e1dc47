"""Tokenizers and chat templates as checkpoints have them: padded vocabularies, added tokens, templates that raise."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM

from builders import copy_model, tiny_model, tiny_tokenizer
from mutascope import Design, MutascopeError, Screen, load_model, open
from mutascope.assays.assay import decode
from mutascope.assays.panel import PanelAssay
from mutascope.assays.phenotype import PhenotypeReader
from mutascope.assays.text import TextAssay
from mutascope.core.genome import Mutant
from mutascope.core.protocol import Outcome, Output
from mutascope.store import ScreenFolder

SIZE = len(tiny_tokenizer())


@pytest.fixture
def with_template(llama_folder, tmp_path):
    """Copies the checkpoint with another chat template."""

    def make(template):
        folder = copy_model(llama_folder, tmp_path / "model")
        config = json.loads((folder / "tokenizer_config.json").read_text())
        (folder / "chat_template.jinja").unlink(missing_ok=True)
        (folder / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": template}))
        return str(folder)

    return make


def chat(*roles):
    messages = [{"role": role, "content": "Hi"} for role in roles]
    return TextAssay.model_validate({"name": "chat", "messages": messages, "max_new_tokens": 4})


def test_tokens_beyond_the_tokenizer_are_seen(tmp_path):
    model = load_model(str(tiny_model(tmp_path / "m", "llama", vocab_size=SIZE + 8, num_hidden_layers=1)))
    assert decode(model, [0, 5, SIZE, SIZE + 1, 6]) == (
        f"<s>{decode(model, [5])}<token {SIZE}><token {SIZE + 1}>{decode(model, [6])}"
    )
    resolved = TextAssay(name="t", prompt="Hi", max_new_tokens=3).resolve(model)
    reader = PhenotypeReader(model, resolved, (Output((5, 6)),))
    mutant = Mutant(0, "v", 0, 0, "max")
    assert reader.is_silent(Outcome(mutant, (Output((5, 6)),)))
    assert not reader.is_silent(Outcome(mutant, (Output((5, SIZE + 1, 6)),)))
    assert resolved.continuation(model, Output((5, SIZE))) == f"{decode(model, [5])}<token {SIZE}>"


def test_a_model_that_says_nothing_but_padding_screens_alike_on_both_engines(tmp_path):
    folder = tiny_model(tmp_path / "m", "llama", vocab_size=SIZE + 8, num_hidden_layers=1)
    network = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        network.lm_head.weight[SIZE:] *= 20
    network.save_pretrained(folder)
    model, found = load_model(str(folder)), {}
    for engine in ("fast", "reference"):
        assay = TextAssay(name="t", prompt="Hi", max_new_tokens=4)
        screen = Screen(model, assay, Design(sample=3), tile=16, engine=engine)
        screen.run(tmp_path / engine, quiet=True)
        found[engine] = screen.records()
        assert "<token " in screen.results.wild_type
    assert found["fast"].equals(found["reference"])


def test_an_added_token_without_an_embedding_is_named(llama_folder, tmp_path):
    folder = copy_model(llama_folder, tmp_path / "m")
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["<|im_start|>"])
    tokenizer.save_pretrained(folder)
    model = load_model(str(folder))
    (tmp_path / "p.txt").write_text("a <|im_start|>\n")
    for assay in (
        TextAssay(name="t", prompt="<|im_start|>user", max_new_tokens=2),
        PanelAssay(name="p", prompts=str(tmp_path / "p.txt")),
    ):
        with pytest.raises(MutascopeError, match=rf"'<\|im_start\|>' token {SIZE}, .* embeddings for {SIZE}"):
            assay.resolve(model)


@pytest.mark.parametrize(
    "template, words",
    [
        ("{{ raise_exception('System role not supported') }}", "System role not supported"),
        ("{{ messages[0]['content'] + 1 }}", "can only concatenate str"),
        ("{{ messages[7]['content']['x'] }}", "has no element 7"),
        ("{% if %}", "Expected an expression"),
        ("{{ undefined_tool_format(messages) }}", "is undefined"),
        ("{{ 1 / (messages | length - 2) }}", "division by zero"),
        ("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", "maximum recursion depth"),
        ("{{ 'x' * 10 ** 12 }}", "MemoryError"),
        ("{{ raise_exception('\\nfirst words') }}", "first words"),
        ("{{ raise_exception('') }}", "TemplateError"),
        ("{{ '{x}'.format() }}", "has no 'x'"),
        (
            "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
            "{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}{% endfor %}",
            "roles must alternate",
        ),
        ([{"name": "tool_use", "template": "x"}], "multiple chat templates"),
    ],
)
def test_a_chat_template_that_raises_is_one_sentence(with_template, template, words):
    model = load_model(with_template(template))
    with pytest.raises(MutascopeError, match=rf"does not take the messages .*\(system, user\): .*{words}"):
        chat("system", "user").resolve(model)


@pytest.mark.parametrize(
    "template, which",
    [
        ("{# nothing #}", "message 1 .*system"),
        ("{{ messages[0]['content'] }}", "message 2 .*user"),
        (
            "{% for m in messages %}{% for c in m['content'] %}{{ c['text'] }}{% endfor %}x{% endfor %}",
            "message 1",
        ),
        (
            "{% for m in messages if m['role'] != 'system' %}{{ m['content'] }}{% endfor %}",
            "message 1 .*system",
        ),
    ],
    ids=["all", "the second", "texts where it expects parts", "no system role"],
)
def test_a_chat_template_that_leaves_out_a_message_is_refused(with_template, template, which):
    model = load_model(with_template(template))
    with pytest.raises(MutascopeError, match=f"leaves out what {which}"):
        chat("system", "user").resolve(model)


def test_a_prompt_that_is_no_text_is_refused(llama_folder):
    with pytest.raises(MutascopeError, match="half of a surrogate pair"):
        TextAssay(name="t", prompt="a\ud800b", max_new_tokens=2).resolve(load_model(str(llama_folder)))


def test_a_tokenizer_that_fails_on_a_text_is_one_sentence(llama_folder, tmp_path):
    folder = copy_model(llama_folder, tmp_path / "m")
    path = folder / "tokenizer.json"
    words = {"type": "WordLevel", "vocab": {"Hi": 3}, "unk_token": "<none>"}
    path.write_text(json.dumps({**json.loads(path.read_text()), "model": words}))
    with pytest.raises(MutascopeError, match=r"does not take 'odd': .*UNK"):
        TextAssay(name="t", prompt="odd", max_new_tokens=2).resolve(load_model(str(folder)))


def test_a_template_beside_the_tokenizer(llama_folder, tmp_path):
    folder = copy_model(llama_folder, tmp_path / "model")
    (folder / "chat_template.jinja").write_text(
        "<s>Q {{ messages[0]['content'] }}\n{% generation %}A{% endgeneration %}"
    )
    prompt = chat("user").resolve(load_model(str(folder))).prompts[0]
    assert prompt.text == "<s>Q Hi\nA"
    assert prompt.tokens.count(0) == 1  # the template brings the first token, and the tokenizer adds no other


def test_what_a_tokenizer_was_trained_with_does_not_cut_a_prompt(llama_folder, tmp_path):
    """Tokenizers are saved with the truncation and padding of their last use."""
    folder = copy_model(llama_folder, tmp_path / "model")
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    content["padding"] = {
        **{"strategy": {"Fixed": 64}, "direction": "Left", "pad_to_multiple_of": None},
        **{"pad_id": 1, "pad_type_id": 0, "pad_token": "</s>"},
    }
    path.write_text(json.dumps(content))
    prompts = (
        TextAssay(name="t", prompt="a long prompt", max_new_tokens=2).resolve(load_model(str(folder))).prompts
    )
    plain = (
        TextAssay(name="t", prompt="a long prompt", max_new_tokens=2)
        .resolve(load_model(str(llama_folder)))
        .prompts
    )
    assert prompts[0].tokens == plain[0].tokens


def test_special_tokens_as_a_list_and_as_a_mapping(llama_folder, tmp_path):
    for index, form in enumerate((["<s>"], {"image_token": "<s>"})):
        folder = copy_model(llama_folder, tmp_path / str(index))
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "extra_special_tokens": form}))
        assert load_model(str(folder)).known_tokens


def test_a_chat_template_is_rendered_once(with_template, tmp_path, cli):
    """One that prints the microsecond is another text whenever it is rendered."""
    folder = with_template("{{ strftime_now('%f') }} {{ messages[0]['content'] }}:")
    out = tmp_path / "out"

    def screen():
        return Screen(load_model(folder), chat("user"), Design(sample=2), tile=16, engine="reference")

    screen().run(out, quiet=True)
    text = open(out).manifest.prompts[0].text
    for part in ("records", "phenotypes"):
        for path in (out / part).glob("*.parquet"):
            path.unlink()
    again = screen()
    again.run(out, quiet=True)
    assert open(out).manifest.prompts[0].text == text
    assert again.resolved.prompts[0].text == text
    assert len(again.records()) == 4
    row = again.records().row(0, named=True)
    mutant = Mutant(**{name: row[name] for name in ("layer", "kind", "row", "col", "mutation")})
    shown = cli("show", out, str(mutant), "--check")
    assert shown.code == 0, shown.err
    assert "gives the same record" in shown.out


def test_who_begins_second_asks_what_the_first_has_rendered(with_template, tmp_path, monkeypatch):
    folder = with_template("{{ strftime_now('%f') }} {{ messages[0]['content'] }}:")
    first, second = (
        Screen(load_model(folder), chat("user"), Design(sample=2), tile=16, engine="reference") for _ in "ab"
    )
    begin = ScreenFolder.begin

    def begin_too_late(self, manifest):
        monkeypatch.setattr(ScreenFolder, "begin", begin)
        first.run(tmp_path / "out", quiet=True)
        return begin(self, manifest)

    monkeypatch.setattr(ScreenFolder, "begin", begin_too_late)
    assert second.run(tmp_path / "out", quiet=True).fresh == 0
    assert second.resolved.prompts[0].text == open(tmp_path / "out").manifest.prompts[0].text
