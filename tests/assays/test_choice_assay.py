"""Choice assays on a small model: what is asked, what is read, and what is stored."""

from __future__ import annotations

import csv
import json
from shutil import copytree

import polars as pl
import pytest
import torch

from builders import ask_wild_type, choice_model, question_rows
from mutascope import Design, MutascopeError, Screen, load_model
from mutascope.analysis.choice import choice_frame
from mutascope.assays import ChoiceAssay, load_assay
from mutascope.assays.choice import few_shot_prompt, letter_tokens
from mutascope.assays.phenotype import content_hash
from mutascope.assays.questions import load_questions
from mutascope.core.manifest import PromptInfo
from mutascope.core.schema import MUTANT_KEY


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(str(choice_model(tmp_path_factory.mktemp("models") / "choice")))


def write_csv(path, rows, choices=4):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["question", *"ABCDEFGH"[:choices], "answer"])
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    return write_csv(tmp_path_factory.mktemp("questions") / "q.csv", question_rows(60))


@pytest.fixture(scope="module")
def assay(questions):
    return ChoiceAssay(name="quiz", questions=str(questions), shots=2, right=3, wrong=2)


def greedy_answer(model, text):
    """The most probable next token by a plain forward pass, decoded and stripped."""
    tokens = torch.tensor([model.tokenizer(text)["input_ids"]])
    with torch.inference_mode():
        logits = model.network(tokens).logits[0, -1]
    return model.tokenizer.decode([int(logits.argmax())]).strip(), logits.softmax(-1)


def test_the_prompt_is_that_of_the_method(shared, smollm2):
    found = load_questions(str(shared / "data" / "mmlu"), "international_law")
    text = few_shot_prompt(smollm2, found, found.asked[0]).text
    head = "The following are multiple choice questions (with answers) about international law.\n\n"
    assert text.startswith(head + found.examples[0].text + "\nA. ")
    assert f"\nAnswer: {found.examples[0].key}\n\n{found.examples[1].text}\nA. " in text
    assert text.count("\nAnswer:") == 6
    assert text.endswith("\nAnswer:")
    assert (len(found.examples), len(found.asked)) == (5, 121)


def test_questions_are_the_first_right_and_then_the_first_wrong_ones(model, questions, assay):
    resolved = assay.resolve(model, ask_wild_type(model))
    rows = list(csv.reader(questions.read_text().splitlines()))[1:]
    examples = "".join(shown(row, row[5]) for row in rows[:2])
    head = "The following are multiple choice questions (with answers).\n\n"
    right = [greedy_answer(model, head + examples + shown(row))[0] == row[5] for row in rows[2:]]
    chosen = [i for i, good in enumerate(right) if good][:3]
    chosen += [i for i, good in enumerate(right) if not good][:2]
    assert list(resolved.numbers) == chosen
    assert list(resolved.keys) == [rows[2 + i][5] for i in chosen]
    assert [p.text for p in resolved.prompts] == [head + examples + shown(rows[2 + i]) for i in chosen]


def shown(row, key=None):
    asked = f"{row[0]}\nA. {row[1]}\nB. {row[2]}\nC. {row[3]}\nD. {row[4]}\nAnswer:"
    return asked if key is None else f"{asked} {key}\n\n"


def test_examples_that_do_not_fit_are_dropped_from_the_front(model, questions, monkeypatch):
    found = load_questions(str(questions), shots=3)
    whole = few_shot_prompt(model, found, found.asked[0])
    monkeypatch.setattr(model.network.config, "max_position_embeddings", len(whole.tokens))
    shorter = few_shot_prompt(model, found, found.asked[0])
    solved = f"{found.examples[0].asked()} {found.examples[0].key}\n\n"
    assert shorter.text == whole.text.replace(solved, "")
    monkeypatch.setattr(model.network.config, "max_position_embeddings", 60)
    with pytest.raises(MutascopeError, match=r"with no example left, and the context of .* is 60"):
        few_shot_prompt(model, found, found.asked[0])


@pytest.mark.parametrize("examples", [0, 1, 2])
def test_too_few_examples_are_told(model, tmp_path, capsys, examples):
    rows = ["a?,x,y,A\n", "b?,x,y,B\n", "c?,x,y,A\n"]
    for part, count in (("dev", examples), ("test", 3)):
        (tmp_path / part).mkdir()
        (tmp_path / part / f"law_{part}.csv").write_text("".join(rows[:count]))
    assay = ChoiceAssay(name="quiz", questions=str(tmp_path), subject="law", shots=2)
    resolved = assay.resolve(model, asked=[PromptInfo(text="", tokens=[], question=0)])
    assert resolved.prompts[0].text.count("Answer: ") == examples
    told = f"has {examples} examples, and 2 are asked for" in capsys.readouterr().err
    assert told == (examples < 2)


def test_letters_are_read_with_and_without_a_blank(smollm2):
    tokens = letter_tokens(smollm2, "ABC")
    read = {letter: {smollm2.tokenizer.decode([t]) for t in found} for letter, found in tokens.items()}
    assert read == {letter: {letter, f" {letter}"} for letter in "ABC"}


@pytest.fixture(scope="module")
def screened(model, assay, tmp_path_factory):
    out = tmp_path_factory.mktemp("screen") / "s"
    design = Design(kinds=("v", "down"), layers=(0, 2), sample=8, mutations=("max", "min", "noop"))
    Screen(model, assay, design, tile=8, engine="reference").run(out, quiet=True)
    return out, design


def test_records_hold_answers_score_and_probabilities(model, assay, screened):
    from mutascope.store.reader import ScreenData

    results = ScreenData(screened[0])
    records, outputs = results.texts(), results.folder.outputs()
    assert records.schema["score"] == pl.Int16
    assert records.schema["destructive"] == pl.Boolean
    assert len(outputs) == 5 * len(records)
    wild = results.wild_type.split("\n")
    keys = [prompt.key for prompt in results.manifest.prompts]
    assert sum(a == b for a, b in zip(wild, keys, strict=True)) == 3
    screen = Screen(model, assay, tile=8)
    for row in records.iter_rows(named=True):
        name = "{layer}.{kind}:{row},{col}:{mutation}".format(**row)
        with screen.mutant(name):
            found = [greedy_answer(model, prompt.text) for prompt in results.manifest.prompts]
        answers = [answer for answer, _ in found]
        assert row["text"] == "\n".join(answers)
        assert row["phenotype"] == content_hash(row["text"])
        assert row["score"] == sum(a == b for a, b in zip(answers, keys, strict=True))
        assert row["destructive"] == any(a not in "ABCD" or not a for a in answers)
        assert row["silent"] == (answers == wild)
        mine = outputs.filter(**{n: row[n] for n in MUTANT_KEY})
        for place, (answer, probabilities) in enumerate(found):
            stored = mine.row(place, named=True)
            assert stored["phenotype"] == content_hash(answer)
            for letter in "ABCD":
                token = model.tokenizer.convert_tokens_to_ids(letter)
                assert stored[f"p_{letter}"] == pytest.approx(float(probabilities[token]), abs=1e-5)
    assert records["silent"].any()
    assert not records["silent"].all()
    told = choice_frame(results.phenotypes().filter(pl.col("text").str.contains("\n")), wild)
    assert set(records["phenotype"]) <= set(told["phenotype"])


def test_a_resume_asks_the_stored_questions_and_not_the_wild_type_again(model, assay, screened, monkeypatch):
    out, design = screened
    before = (out / "manifest.json").read_bytes()
    shard = out / "records" / "000000.parquet"
    kept = shard.read_bytes()
    shard.unlink()
    monkeypatch.setattr(ChoiceAssay, "_choose", lambda *_: pytest.fail("the selection was made again"))
    Screen(model, assay, design, tile=8, engine="reference").run(out, quiet=True)
    assert shard.read_bytes() == kept
    assert json.loads(before)["prompts"] == json.loads((out / "manifest.json").read_text())["prompts"]


def test_other_questions_do_not_continue_a_screen(model, questions, assay, screened, tmp_path):
    rows = list(csv.reader(questions.read_text().splitlines()))[1:]
    moved = write_csv(tmp_path / "moved.csv", rows)
    same = assay.model_copy(update={"questions": str(moved)})
    assert (
        Screen(model, same, screened[1], tile=8, engine="reference").run(screened[0], quiet=True).fresh == 0
    )
    changed = write_csv(tmp_path / "changed.csv", [[row[0] + "?", *row[1:]] for row in rows])
    other = assay.model_copy(update={"questions": str(changed)})
    with pytest.raises(MutascopeError, match="holds another screen"):
        Screen(model, other, screened[1], tile=8, engine="reference").run(screened[0], quiet=True)


def test_a_folder_without_questions_holds_another_screen(model, assay, screened, tmp_path):
    folder = copytree(screened[0], tmp_path / "imported")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "prompts": []}))
    with pytest.raises(MutascopeError, match="the folder holds another screen"):
        Screen(model, assay, screened[1], tile=8, engine="reference").run(folder, quiet=True)


def test_a_sampled_answer_has_its_own_seed_at_every_question(model, assay):
    sampled = assay.model_copy(update={"greedy": False, "temperature": 2.0, "seed": 5})
    resolved = sampled.resolve(model, ask_wild_type(model))
    torch.manual_seed(5)
    tokens = torch.tensor([resolved.prompts[1].tokens])
    out = model.network.generate(
        tokens, attention_mask=torch.ones_like(tokens), do_sample=True, temperature=2.0, max_new_tokens=1
    )
    screen = Screen(model, sampled, tile=8, engine="reference")
    assert screen.wild_type[1].tokens == (int(out[0, -1]),)


def test_a_non_finite_mutant_has_no_answers(model, assay):
    from dataclasses import replace

    from mutascope.assays.phenotype import PhenotypeReader
    from mutascope.core.protocol import Mutant, Outcome

    resolved = assay.resolve(model, ask_wild_type(model))
    screen = Screen(model, assay, tile=8, engine="reference")
    broken = replace(screen.wild_type[0], tokens=(), finite=False)
    outcome = Outcome(Mutant(0, "v", 0, 0, "max"), (broken, *screen.wild_type[1:]))
    shard = PhenotypeReader(model, resolved, screen.wild_type).shard([outcome])
    record = shard.records.row(0, named=True)
    assert (record["phenotype"], record["score"], record["destructive"]) == ("non-finite", 0, True)
    assert shard.outputs is not None
    assert shard.outputs["phenotype"][1] == content_hash(resolved.text(model, screen.wild_type[1], 1))


@pytest.mark.parametrize("choices", [2, 6])
def test_any_number_of_choices(model, tmp_path, choices):
    path = write_csv(tmp_path / "q.csv", question_rows(12, choices), choices)
    found = load_questions(str(path), shots=0)
    assert found.letters == tuple("ABCDEF"[:choices])
    assert found.asked[0].asked().count("\n") == choices + 1


@pytest.fixture
def uneven(tmp_path):
    """Questions of three and of four choices, in turns."""
    rows = [
        {"question": row[0], "choices": row[1:-1], "answer": row[-1]}
        for pair in zip(question_rows(15, 3), question_rows(15, 4, seed=1), strict=True)
        for row in pair
    ]
    path = tmp_path / "q.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ChoiceAssay(name="uneven", questions=str(path), shots=0, right=2, wrong=6)


def test_an_answer_is_a_letter_that_its_own_question_offers(model, uneven, tmp_path):
    out = tmp_path / "out"
    Screen(model, uneven, Design(kinds=("v",), layers=(0,), sample=4), tile=8).run(out, quiet=True)
    from mutascope.store.reader import ScreenData

    results = ScreenData(out)
    manifest, offered = results.manifest, results.manifest.offered
    assert manifest.letters == [*"ABCD"]
    assert [len(letters) for letters in offered] == [3 + prompt.question % 2 for prompt in manifest.prompts]
    assert {prompt.choices for prompt in manifest.prompts} == {3, None}
    for row in results.texts().iter_rows(named=True):
        pairs = zip(row["text"].split("\n"), offered, strict=True)
        assert row["destructive"] == any(answer not in letters for answer, letters in pairs)
    reopened = uneven.reopen(model, manifest)
    assert reopened.sizes == tuple(map(len, offered))
    assert reopened.described_prompts() == uneven.resolve(model, asked=manifest.prompts).described_prompts()
    told = choice_frame(results.phenotypes().filter(pl.col("text").str.contains("\n")), ["D"] * 8, offered)
    assert told["letters"].is_between(0, 8).all()


def test_json_lines_take_letters_and_indices(tmp_path):
    path = tmp_path / "q.jsonl"
    rows = [
        {"question": "a?", "choices": ["x", "y"], "answer": 1},
        {"question": "b?", "choices": ["x", "y"], "answer": "A"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [q.key for q in load_questions(str(path), shots=0).asked] == ["B", "A"]


def test_the_built_in_questions_are_balanced(smollm2):
    found = load_questions("general")
    assert len(found.examples) == 5
    assert len(found.asked) >= 80
    keys = [question.key for question in found.asked]
    assert max(map(keys.count, "ABCD")) - min(map(keys.count, "ABCD")) <= 1
    assert len({question.text for question in found.asked}) == len(found.asked)
    assert all(len(set(question.choices)) == 4 for question in (*found.examples, *found.asked))


@pytest.mark.slow
def test_the_default_model_answers_the_built_in_preset(smollm2):
    assert len(load_assay("general21").resolve(smollm2, ask_wild_type(smollm2)).prompts) == 21


def test_real_questions_of_the_paper(shared):
    found = load_questions(str(shared / "data" / "mmlu"), "international_law")
    assert {len(question.choices) for question in found.asked} == {4}


def damaged(tmp_path, case):
    """Return (source, subject, what the error says)."""
    rows = question_rows(4)
    path = tmp_path / "q.csv"
    if case == "missing file":
        return path, None, "q.csv cannot be read: No such file"
    if case == "wrong column":
        path.write_text("text,A,B,answer\na?,x,y,A\n")
        return path, None, "has no column 'question'"
    if case == "gap in letters":
        path.write_text("question,A,B,D,answer\na?,x,y,z,A\n")
        return path, None, "has no column 'C'"
    if case == "key outside":
        rows[2][-1] = "E"
        return write_csv(path, rows), None, "row 4 has the key 'E', which is outside its choices A to D"
    if case == "empty cell":
        rows[1][2] = ""
        return write_csv(path, rows), None, "row 3 is no question"
    if case == "json key":
        path = tmp_path / "q.jsonl"
        path.write_text('{"question": "a?", "choices": ["x", "y"], "answer": 2}\n')
        return path, None, "line 1 has the key 2, which is outside its choices A to B"
    if case == "json field":
        path = tmp_path / "q.jsonl"
        path.write_text('{"question": "a?", "answer": 2}\n')
        return path, None, "line 1 has no 'choices'"
    if case == "not json":
        path = tmp_path / "q.jsonl"
        path.write_text("question\n")
        return path, None, "line 1 is not JSON"
    if case == "no subject":
        return "general", "astronmy", "has no subject 'astronmy'"
    if case == "other folder":
        return tmp_path, "law", "holds no questions by subject"
    assert case == "nonsense"
    return "questions", None, "is no source of questions"


@pytest.mark.parametrize(
    "case",
    [
        *(
            "missing file",
            "wrong column",
            "gap in letters",
            "key outside",
            "empty cell",
            "json key",
            "json field",
        ),
        *("not json", "no subject", "other folder", "nonsense"),
    ],
)
def test_bad_questions_are_one_sentence(tmp_path, case):
    source, subject, says = damaged(tmp_path, case)
    with pytest.raises(MutascopeError) as told:
        load_questions(str(source), subject, shots=0)
    assert says in str(told.value)
    assert "\n" not in str(told.value)


def test_too_few_right_questions(model, assay):
    with pytest.raises(MutascopeError, match=r"answers \d+ of the 58 questions .* right, and 50 are needed"):
        assay.model_copy(update={"right": 50}).resolve(model, ask_wild_type(model))


def test_mmlu_without_datasets_says_what_to_do(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(MutascopeError, match="need the package datasets"):
        load_questions("cais/mmlu", "international_law")
