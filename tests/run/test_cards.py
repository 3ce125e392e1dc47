"""What a screen takes on cards that are not here."""

from __future__ import annotations

import pytest

from mutascope import MutascopeError
from mutascope.run.cards import Plan, card_table
from mutascope.run.cost import ScreenCost

LLAMA = ScreenCost(parameters=6_738_415_616, mutants=3_162_112, tokens=140)


def test_the_measured_card_takes_what_was_measured():
    """222 ms a mutant, by hand: 3,162,112 x 0.222 s = 195.0 hours."""
    told = Plan.parse("1xH200").told(LLAMA)
    hours = float(told[0].split("GPU-hours")[0].rpartition(" ")[0].rpartition(" ")[2])
    assert hours == pytest.approx(195.0, rel=0.01)
    assert "measured 2026-11-27" in told[1]


def test_eight_cards_take_an_eighth_of_the_time_and_as_many_hours():
    one, eight = (Plan.parse(text).told(LLAMA)[0] for text in ("1xH100", "8 x h100"))
    assert one.startswith("on 1 x H100: 8 d 02 h, 195.0 GPU-hours, about 585 dollars at 3.00")
    assert eight.startswith("on 8 x H100: 1 d 00 h, 195.0 GPU-hours, about 585 dollars at 3.00")


def test_weights_that_leave_no_room_are_told():
    assert "try --dtype bfloat16" in Plan.parse("4xL4").told(LLAMA)[2]
    assert Plan.parse("4xA100").told(LLAMA)[2] == "weights in float32: 27.0 of 80 GB"


@pytest.mark.parametrize(
    "text, words",
    [("H100", "no plan: write"), ("0xH100", "no plan"), ("8xH10", "did you mean 'H100'"), ("8x", "no plan")],
)
def test_what_is_no_plan_is_told(text, words):
    with pytest.raises(MutascopeError, match=words):
        Plan.parse(text)


def test_every_rate_says_what_it_is_from():
    assert all("measured" in line or "assumed: " in line for line in card_table().splitlines()[2:])


def test_the_verb_tells_it(cli, llama_folder):
    result = cli("genome", llama_folder, "--plan", "8xH100")
    assert result.code == 0
    assert "on 8 x H100: " in result.out
    assert cli("genome", llama_folder, "--plan", "many").code == 2
