"""Scores by subject, by hand, and which subject suffers."""

import numpy as np
import polars as pl
import pytest

from mutascope import MutascopeError
from mutascope.analysis.subjects import subject_losses, subject_scores, writers_by_subject
from mutascope.core.schema import MUTANT_KEY

KEYS = ["A", "B", "C", "D", "A"]
SUBJECTS = ["law", "law", "art", "art", "law"]


def test_right_answers_by_subject():
    texts = ["A\nB\nC\nD\nthe", "B\nB\nA\nD\nA", None]
    phenotypes = pl.DataFrame({"phenotype": ["x", "y", "non-finite"], "text": texts})
    assert subject_scores(phenotypes, KEYS, SUBJECTS).rows() == [
        ("x", "law", 3, 2),
        ("x", "art", 2, 2),
        ("y", "law", 3, 2),
        ("y", "art", 2, 1),
        ("non-finite", "law", 3, 0),
        ("non-finite", "art", 2, 0),
    ]
    with pytest.raises(MutascopeError, match="phenotype z has 2 answers to 5 questions"):
        subject_scores(pl.DataFrame({"phenotype": ["z"], "text": ["A\nB"]}), KEYS, SUBJECTS)


def records_of(phenotypes: list[str], loci: int) -> pl.DataFrame:
    rows = [
        (place % loci, "v", place // loci, 0, "max", name == "wild", name)
        for place, name in enumerate(phenotypes)
    ]
    return pl.DataFrame(rows, schema=[*MUTANT_KEY, "silent", "phenotype"], orient="row")


def test_losses_by_hand():
    texts = {"wild": "A\nB\nC\nA\nA", "x": "A\nB\nA\nA\nA", "y": "B\nB\nA\nD\nA"}
    phenotypes = pl.DataFrame({"phenotype": list(texts), "text": list(texts.values())})
    records = records_of(["x", "wild", "x", "y"], loci=2)  # layer 0: x, x; layer 1: y
    found = subject_losses(records, phenotypes, texts["wild"], KEYS, SUBJECTS)
    law, art = found.rows(named=True)
    assert [law[name] for name in ("subject", "questions", "wild_right", "nsm", "lowest")] == [
        "law",
        3,
        3,
        3,
        2,
    ]
    assert [art[name] for name in ("subject", "questions", "wild_right", "nsm", "lowest")] == [
        "art",
        2,
        1,
        3,
        0,
    ]
    assert law["mean_score"] == pytest.approx(8 / 3)
    assert art["mean_score"] == pytest.approx(1 / 3)
    # law: layer 0 keeps all, layer 1 loses one of three; art: layer 0 loses one of two, layer 1 loses one and gains one
    assert (law["change"], law["rest"]) == pytest.approx((-1 / 6, -1 / 4))
    assert (art["change"], art["rest"]) == pytest.approx((-1 / 4, -1 / 6))
    assert law["p"] == pytest.approx(art["p"])


def test_no_nsm_and_a_single_subject():
    phenotypes = pl.DataFrame({"phenotype": ["wild", "x"], "text": ["A", "B"]})
    assert subject_losses(records_of(["wild"], 1), phenotypes, "A", ["A"], ["law"]).is_empty()
    (row,) = subject_losses(records_of(["x", "x"], 2), phenotypes, "A", ["A"], ["law"]).rows(named=True)
    assert (row["change"], row["rest"], row["p"]) == (-1.0, None, None)


def drawn(random, weak: float) -> tuple[pl.DataFrame, pl.DataFrame, str, list[str], list[str]]:
    """Mutants of six loci that lose answers, more where the subject is the first one, by ``weak``."""
    subjects = [f"s{place // 10}" for place in range(40)]
    hard = random.normal(0, 1, 40) + weak * (np.arange(40) < 10)
    lost = random.normal(0, 1, (30, 40)) + hard + random.normal(0, 0.5, 6)[np.arange(30) % 6, None] > 1
    texts = ["\n".join("B" if gone else "A" for gone in row) for row in lost]
    names = [f"m{place}" for place in range(30)]
    return (
        records_of(names, 6),
        pl.DataFrame({"phenotype": names, "text": texts}),
        "\n".join("A" * 40),
        ["A"] * 40,
        subjects,
    )


def test_a_subject_that_suffers_is_found():
    found = subject_losses(*drawn(np.random.default_rng(1), 3.0))
    assert found.row(0, named=True)["q"] < 0.01
    assert found["change"].arg_min() == 0


@pytest.mark.slow
def test_the_level_where_questions_and_mutants_differ():
    random = np.random.default_rng(0)
    p = np.concatenate([subject_losses(*drawn(random, 0.0))["p"].to_numpy() for _ in range(500)])
    assert 0.02 <= np.mean(p < 0.05) <= 0.07


def test_writers_beside_others():
    key = [(0, "down", row, row, "max") for row in range(4)]
    writers = pl.DataFrame(
        [(*k, row < 2) for row, k in enumerate(key)], schema=[*MUTANT_KEY, "rare"], orient="row"
    )
    rows = [
        (*k, subject, questions, score, questions)
        for k, scores in zip(key, [(3, 1), (2, 1), (1, 1), (1, 0)], strict=True)
        for subject, questions, score in zip(("law", "art"), (3, 2), scores, strict=True)
    ]
    names = [*MUTANT_KEY, "subject", "questions", "score", "wild_right"]
    found = writers_by_subject(writers, pl.DataFrame(rows, schema=names, orient="row"))
    whole, law, art = found.rows(named=True)
    assert [row["subject"] for row in (whole, law, art)] == [None, "law", "art"]
    assert (whole["questions"], whole["wild_right"], whole["rare"], whole["common"]) == (5, 5, 2, 2)
    assert (whole["rare_score"], whole["common_score"], whole["difference"]) == pytest.approx((3.5, 1.5, 2.0))
    assert (law["difference"], art["difference"]) == pytest.approx((1.5, 0.5))
    welch = 2.0 / np.sqrt(0.25 + 0.25)
    from scipy import stats

    assert whole["p"] == pytest.approx(2 * stats.t.sf(welch, 2))
