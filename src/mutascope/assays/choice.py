"""Multiple-choice assays: one token read per question, the answers as phenotype (METHOD, Multiple-choice assay)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import polars as pl
from pydantic import Field, model_validator

from mutascope.assays.assay import Assay, Resolved, decode, resolve_generation, tokenise
from mutascope.assays.question_rows import Question
from mutascope.assays.questions import Questions, load_questions
from mutascope.core.errors import MutascopeError
from mutascope.core.manifest import Manifest, PromptInfo
from mutascope.core.protocol import NextToken, Output, Probe, Prompt
from mutascope.model.loading import Model


class ChoiceAssay(Assay):
    """A multiple-choice assay as the user states it.

    The questions that are asked are the first ``right`` that the wild type answers correctly and the first ``wrong``
    that it does not, in the order of the source.

    Attributes:
        questions: where they come from (:func:`~mutascope.assays.questions.load_questions`).
        subject: of the questions; the first line of the prompt names it.
        shots: number of solved examples before each question.
        right, wrong: numbers of questions.
    """

    type: ClassVar[str] = "choice"
    stated_by: ClassVar[tuple[str, ...]] = ("questions",)
    questions: str
    subject: str | None = None
    shots: int = Field(default=5, ge=0)
    right: int = Field(default=14, ge=0)
    wrong: int = Field(default=7, ge=0)
    greedy: bool = True

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if self.right + self.wrong < 1:
            raise ValueError("right and wrong are both 0: ask at least one question")
        return self

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of ``generate`` that the assay states."""
        return {**self.sampling(), "max_new_tokens": 1}

    def resolve(
        self,
        model: Model,
        probe: Probe | None = None,
        *,
        measure: bool = False,
        asked: Sequence[PromptInfo] | None = None,
    ) -> ResolvedChoice:
        """Choose the questions, unless they were ``asked`` before, and resolve every sampling field.

        Raises:
            MutascopeError: when the questions cannot be read, the wild type answers too few of them right or wrong, or
                a prompt is too long even without an example.
        """
        questions = load_questions(self.questions, self.subject, self.shots)
        if len(questions.examples) < self.shots:
            print(
                f"{self.name}: {self.questions} has {len(questions.examples)} examples, and {self.shots} are asked for:"
                " a question comes after those that there are",
                file=sys.stderr,
            )
        readout = self.readout(model, questions.letters)
        if asked is None:
            assert probe is not None, "the wild type says which questions are asked"
            chosen = self._choose(model, questions, readout, probe)
        else:
            chosen = self._asked_before(questions, asked)
        selected = [questions.asked[number] for number in chosen]
        prompts = tuple(few_shot_prompt(model, questions, question) for question in selected)
        readout = replace(
            readout, resolved=resolve_generation(model, self.arguments(), len(prompts[0].tokens))
        )
        keys, sizes = (q.key for q in selected), (len(q.choices) for q in selected)
        return ResolvedChoice(self, prompts, readout, tuple(keys), tuple(chosen), tuple(sizes))

    def reopen(self, model: Model, manifest: Manifest) -> ResolvedChoice:
        """Return the assay of a stored screen, with the questions that it asked."""
        prompts = tuple(Prompt(prompt.text, tuple(prompt.tokens)) for prompt in manifest.prompts)
        readout = self.readout(model, manifest.letters or [], len(prompts[0].tokens))
        keys = tuple(prompt.key or "" for prompt in manifest.prompts)
        numbers = tuple(prompt.question for prompt in manifest.prompts)
        sizes = tuple(map(len, manifest.offered))
        return ResolvedChoice(self, prompts, readout, keys, numbers, sizes)

    def readout(self, model: Model, letters: Sequence[str], prompt_length: int = 1) -> NextToken:
        """Return how the model is read."""
        resolved = resolve_generation(model, self.arguments(), prompt_length)
        return NextToken(self.seed, self.arguments(), resolved, letter_tokens(model, letters))

    def _asked_before(self, questions: Questions, asked: Sequence[PromptInfo]) -> list[int]:
        """Return the questions of a folder that is continued, as places in the source from 0."""
        chosen = [prompt.question for prompt in asked]
        if not chosen:
            raise MutascopeError(
                f"the folder holds another screen: it does not say which questions of {self.questions} it asks"
            )
        if max(chosen) >= len(questions.asked):
            raise MutascopeError(
                f"{self.questions} has {len(questions.asked)} questions, and question {max(chosen)} was asked before:"
                " it is another set"
            )
        return chosen

    def _choose(self, model: Model, questions: Questions, readout: NextToken, probe: Probe) -> list[int]:
        """Return the first questions that the wild type answers right and wrong, in the order of the source."""
        wanted, found = {True: self.right, False: self.wrong}, {True: 0, False: 0}
        chosen = []
        print(f"{self.name}: asking {model.name}, to choose questions", file=sys.stderr)
        for number, question in enumerate(questions.asked):
            output = probe(few_shot_prompt(model, questions, question), readout)
            correct = answer_of(model, output) == question.key
            if found[correct] < wanted[correct]:
                found[correct] += 1
                chosen.append(number)
            if found == wanted:
                return chosen
        short = next(correct for correct in (True, False) if found[correct] < wanted[correct])
        raise MutascopeError(
            f"{model.name} answers {found[short]} of the {len(questions.asked)} questions of {self.questions}"
            f" {'right' if short else 'wrong'}, and {wanted[short]} are needed: ask for fewer with"
            f" --{'right' if short else 'wrong'}, or give more questions"
        )


def few_shot_prompt(model: Model, questions: Questions, question: Question) -> Prompt:
    """Return the prompt of a question, without as many of the first examples as do not fit into the context.

    Raises:
        MutascopeError: when it is too long with no example left.
    """
    about = f" about {questions.subject.replace('_', ' ')}" if questions.subject else ""
    head = f"The following are multiple choice questions (with answers){about}.\n\n"
    tokens: tuple[int, ...] = ()
    context = model.context
    for first in range(len(questions.examples) + 1):
        solved = [f"{example.asked()} {example.key}\n\n" for example in questions.examples[first:]]
        text = "".join((head, *solved, question.asked()))
        tokens = tokenise(model, text)
        if context is None or len(tokens) < context:
            return Prompt(text, tokens)
    raise MutascopeError(
        f"a question has {len(tokens)} tokens with no example left, and the context of {model.name} is {context}:"
        f" {question.text[:60]!r}"
    )


def letter_tokens(model: Model, letters: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return, by letter, the tokens that read as it, white space stripped.

    Raises:
        MutascopeError: when the tokenizer has none for a letter.
    """
    found: dict[str, list[int]] = {letter: [] for letter in letters}
    embeddings = model.embeddings
    for token in sorted(token for token in model.known_tokens if token < embeddings):
        read = str(model.tokenizer.decode([token])).strip()
        if read in found:
            found[read].append(token)
    missing = [letter for letter, tokens in found.items() if not tokens]
    if missing:
        raise MutascopeError(f"the tokenizer of {model.name} has no token for the choice {missing[0]}")
    return {letter: tuple(tokens) for letter, tokens in found.items()}


def answer_of(model: Model, output: Output) -> str | None:
    """Return the decoded token with white space stripped, and none but single blanks inside; None if not finite."""
    return " ".join(decode(model, [*output.tokens]).split()) if output.finite else None


@dataclass(frozen=True)
class ResolvedChoice(Resolved[ChoiceAssay, NextToken]):
    """A choice assay that knows its model.

    Attributes:
        keys: letters of the right choices, one per prompt.
        numbers: places of the questions in their source, from 0.
        sizes: numbers of choices, one per prompt.
    """

    keys: tuple[str, ...]
    numbers: tuple[int, ...]
    sizes: tuple[int, ...]

    @property
    def letters(self) -> tuple[str, ...]:
        """Letters of the choices of the question that has most."""
        return tuple(self.readout.choices)

    @property
    def keeps_outputs(self) -> bool:
        """Whether the store gets a row per (mutant, question): always, for the probabilities."""
        return True

    @property
    def record_schema(self) -> dict[str, Any]:
        """Columns that :meth:`measures` adds to the records."""
        return {"score": pl.Int16, "destructive": pl.Boolean}

    def described(self) -> dict[str, Any]:
        """Return what a manifest says of the assay, the letters of the choices included."""
        return {**super().described(), "letters": list(self.letters)}

    def described_prompts(self) -> list[dict[str, Any]]:
        """Return the prompts as plain JSON values, with key, place in the source, and number of choices where it is not
        that of all questions.
        """
        rows = zip(super().described_prompts(), self.keys, self.numbers, self.sizes, strict=True)
        return [
            {
                **row,
                "key": key,
                "question": number,
                **({} if size == len(self.letters) else {"choices": size}),
            }
            for row, key, number, size in rows
        ]

    def text(self, model: Model, output: Output, prompt: int = 0) -> str | None:
        """Return the answer to a question; None for a non-finite output."""
        return answer_of(model, output)

    def whole(self, texts: Sequence[str | None], hashes: Sequence[str]) -> tuple[str | None, None]:
        """Return the answers, one per line; None when a question had no finite answer."""
        answers = [text for text in texts if text is not None]
        return ("\n".join(answers) if len(answers) == len(texts) else None), None

    def measures(self, outputs: Sequence[Output], texts: Sequence[str | None]) -> dict[str, Any]:
        """Return score and destructive of the answers; a non-finite mutant has no answer."""
        finite = None not in texts
        right = sum(text == key for text, key in zip(texts, self.keys, strict=True))
        rows = zip(texts, self.sizes, strict=True)
        return {
            "score": right if finite else 0,
            "destructive": any(text not in self.letters[:size] for text, size in rows),
        }
