"""Multiple-choice assays: one token read per question, the answers as phenotype (METHOD, Multiple-choice assay)."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, Self

import polars as pl
from pydantic import BeforeValidator, Field, model_validator

from mutascope.assays.assay import Assay, Resolved, decode, resolve_generation, stored_prompts, tokenise
from mutascope.assays.question_rows import Question
from mutascope.assays.questions import Questions, load_subjects, pools_subjects
from mutascope.core.errors import MutascopeError
from mutascope.core.manifest import Manifest, PromptInfo
from mutascope.core.protocol import NextToken, Output, Probe, Prompt
from mutascope.model.loading import Model

ALL = "all"
"""As many questions as there are."""


def _count(stated: Any) -> Any:
    """A number of questions, from a YAML file or an option."""
    if stated != ALL and not (isinstance(stated, int) and stated >= 0) and not str(stated).isdecimal():
        raise ValueError(f"must be a number of questions or {ALL}, not {stated!r}")
    return stated


Count = Annotated[int | Literal["all"], BeforeValidator(_count)]


class ChoiceAssay(Assay):
    """A multiple-choice assay as the user states it.

    The questions that are asked are, of every subject, the first ``right`` that the wild type answers correctly and the
    first ``wrong`` that it does not, each in the order of the source; those that it answers right are asked first, as
    in the paper. With ``all`` of both, every question is asked, in the order of the source.

    Attributes:
        questions: where they come from (:func:`~mutascope.assays.questions.load_questions`).
        subject: of the questions; the first line of the prompt names it. None: all subjects of a folder.
        shots: number of solved examples before each question.
        right, wrong: numbers of questions, or ``all``.
    """

    type: ClassVar[str] = "choice"
    stated_by: ClassVar[tuple[str, ...]] = ("questions",)
    questions: str
    subject: str | None = None
    shots: int = Field(default=5, ge=0)
    right: Count = 14
    wrong: Count = 7
    greedy: bool = True

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if self.right == self.wrong == 0:
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
        subjects = load_subjects(self.questions, self.subject, self.shots)
        self._tell_of_examples(subjects)
        arguments = self.arguments()
        resolved = resolve_generation(model, arguments, 1)
        letters = max((questions.letters for questions in subjects), key=len)
        readout = NextToken(self.seed, arguments, resolved, letter_tokens(model, letters), measure)
        pool = [(questions, question) for questions in subjects for question in questions.asked]
        if asked is not None:
            chosen = self._asked_before(len(pool), asked)
        elif self.right == self.wrong == ALL:
            chosen = [*range(len(pool))]
        else:
            assert probe is not None, "the wild type says which questions are asked"
            chosen = self._choose(model, subjects, readout, probe)
        if not chosen:
            raise MutascopeError(
                f"{model.name} answers none of the questions of {self.questions} {'right' if self.right else 'wrong'}:"
                " ask for others with --right and --wrong"
            )
        selected = [pool[number] for number in chosen]
        prompts = tuple(few_shot_prompt(model, *each) for each in selected)
        readout = replace(readout, resolved=resolve_generation(model, arguments, len(prompts[0].tokens)))
        pooled = pools_subjects(self.questions, self.subject)
        about = tuple(questions.subject if pooled else None for questions, _ in selected)
        keys, sizes = (q.key for _, q in selected), (len(q.choices) for _, q in selected)
        return ResolvedChoice(self, prompts, readout, tuple(keys), tuple(chosen), tuple(sizes), about)

    def _tell_of_examples(self, subjects: Sequence[Questions]) -> None:
        for questions in subjects:
            if len(questions.examples) < self.shots:
                of = self.questions if len(subjects) == 1 else f"{questions.subject} of {self.questions}"
                print(
                    f"{self.name}: {of} has {len(questions.examples)} examples, and {self.shots} are asked for: a"
                    " question comes after those that there are",
                    file=sys.stderr,
                )

    def reopen(self, model: Model, manifest: Manifest) -> ResolvedChoice:
        """Return the assay of a stored screen, with the questions that it asked."""
        letters = letter_tokens(model, manifest.letters or [])
        readout = NextToken(self.seed, self.arguments(), manifest.generation, letters, manifest.measure)
        keys = tuple(prompt.key or "" for prompt in manifest.prompts)
        numbers = tuple(prompt.question for prompt in manifest.prompts)
        sizes = tuple(map(len, manifest.offered))
        about = tuple(prompt.subject for prompt in manifest.prompts)
        return ResolvedChoice(self, stored_prompts(manifest), readout, keys, numbers, sizes, about)

    def _asked_before(self, there: int, asked: Sequence[PromptInfo]) -> list[int]:
        """Return the questions of a folder that is continued, as places in the source from 0."""
        chosen = [prompt.question for prompt in asked]
        if not chosen:
            raise MutascopeError(
                f"the folder holds another screen: it does not say which questions of {self.questions} it asks"
            )
        if max(chosen) >= there:
            raise MutascopeError(
                f"{self.questions} has {there} questions, and question {max(chosen)} was asked before:"
                " it is another set"
            )
        return chosen

    def _choose(
        self, model: Model, subjects: Sequence[Questions], readout: NextToken, probe: Probe
    ) -> list[int]:
        """Return the questions of every subject that are asked, as places in all of them."""
        print(f"{self.name}: asking {model.name}, to choose questions", file=sys.stderr)
        chosen: list[int] = []
        start = 0
        for questions in subjects:
            chosen += [start + number for number in self._choose_of(model, questions, readout, probe)]
            start += len(questions.asked)
        return chosen

    def _choose_of(self, model: Model, questions: Questions, readout: NextToken, probe: Probe) -> list[int]:
        """Return the first questions that the wild type answers right, and then the first that it answers wrong."""
        wanted = {
            correct: count if isinstance(count, int) else math.inf
            for correct, count in ((True, self.right), (False, self.wrong))
        }
        chosen: dict[bool, list[int]] = {True: [], False: []}
        for number, question in enumerate(questions.asked):
            output = probe(few_shot_prompt(model, questions, question), readout)
            correct = answer_of(model, output) == question.key
            if len(chosen[correct]) < wanted[correct]:
                chosen[correct].append(number)
            if all(len(chosen[each]) == wanted[each] for each in wanted):
                break
        for correct, told in ((True, "right"), (False, "wrong")):
            if len(chosen[correct]) < wanted[correct] < math.inf:
                pooled = pools_subjects(self.questions, self.subject)
                of = f"{questions.subject} of {self.questions}" if pooled else self.questions
                raise MutascopeError(
                    f"{model.name} answers {len(chosen[correct])} of the {len(questions.asked)} questions of {of}"
                    f" {told}, and {wanted[correct]} are needed: ask for fewer with --{told}, or give more questions"
                )
        return [*chosen[True], *chosen[False]]


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
        subjects: of the questions, where the assay pools those of several; else None, one per prompt.
    """

    keys: tuple[str, ...]
    numbers: tuple[int, ...]
    sizes: tuple[int, ...]
    subjects: tuple[str | None, ...]

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
        """Return the prompts as plain JSON values, with key, place in the source, number of choices where it is not
        that of all questions, and subject where the assay pools several.
        """
        rows = zip(
            super().described_prompts(), self.keys, self.numbers, self.sizes, self.subjects, strict=True
        )
        return [
            {
                **row,
                "key": key,
                "question": number,
                **({} if size == len(self.letters) else {"choices": size}),
                **({} if subject is None else {"subject": subject}),
            }
            for row, key, number, size, subject in rows
        ]

    def text(self, model: Model, output: Output, prompt: int = 0) -> str | None:
        """Return the answer to a question; None for a non-finite output."""
        return answer_of(model, output)

    def whole(self, texts: Sequence[str | None], hashes: Sequence[str]) -> tuple[str | None, None]:
        """Return the answers, one per line; None when a question had no finite answer."""
        answers = [text for text in texts if text is not None]
        return ("\n".join(answers) if len(answers) == len(texts) else None), None

    def measures(self, outputs: Sequence[Output], texts: Sequence[str | None]) -> dict[str, Any]:
        """Return score and destructive of the answers, and how firm they are where that is measured.

        A non-finite mutant has no answer.
        """
        finite = None not in texts
        right = sum(text == key for text, key in zip(texts, self.keys, strict=True))
        rows = zip(texts, self.sizes, strict=True)
        return {
            "score": right if finite else 0,
            "destructive": any(text not in self.letters[:size] for text, size in rows),
            **(_firmness(outputs) if self.readout.measure else {}),
        }


def _firmness(outputs: Sequence[Output]) -> dict[str, float | None]:
    """Return the chance that all answers are silent, and the smallest margin; None where one is not known."""
    found: dict[str, float | None] = {}
    for name, join in (("silence", math.prod), ("margin", min)):
        known = [value for output in outputs if (value := output.values[name]) is not None]
        found[name] = join(known) if len(known) == len(outputs) else None
    return found
