"""Numbers in sentences."""

import pytest

from mutascope.core.words import counted


@pytest.mark.parametrize(
    "number, nouns, told",
    [
        (0, ("mutant",), "0 mutants"),
        (1, ("locus", "loci"), "1 locus"),
        (1000, ("locus", "loci"), "1,000 loci"),
    ],
)
def test_a_noun_is_singular_after_one(number, nouns, told):
    assert counted(number, *nouns) == told
