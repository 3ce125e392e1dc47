"""What a screen takes on cards that are not here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mutascope import MutascopeError
from mutascope.run.cards import Plan, card_named, card_table
from mutascope.run.cost import ScreenCost

LLAMA = ScreenCost(parameters=6_738_415_616, mutants=3_162_112, tokens=140)


MEASURED = json.loads((Path(__file__).parents[2] / "benchmarks" / "results" / "gpu.json").read_text())


@pytest.mark.parametrize("line, dtype", [(0, "float32"), (1, "bfloat16")])
def test_the_measured_card_takes_what_was_measured(line, dtype):
    """Fails where the card was measured again: then the rates in run/cards.py are to be changed."""
    seconds = MEASURED[f"llama-2-7b {dtype} screen"]["ms_a_mutant"] / 1000
    told = Plan.parse("1xH100").told(LLAMA)
    hours = float(told[line].split(" GPU-hours")[0].rpartition(" ")[2])
    assert hours == pytest.approx(LLAMA.mutants * seconds / 3600, rel=0.02)
    assert "measured 2026-11-27" in told[2]


def test_eight_cards_take_an_eighth_of_the_time_and_as_many_hours():
    """By hand: 3,162,112 mutants of 2 x 6.738e9 x 140 operations at 31.1e12 a second take 53.3 hours."""
    one, eight = (Plan.parse(text).told(LLAMA)[0] for text in ("1xH100", "8 x h100"))
    words = "53.3 GPU-hours, about 160 dollars at 3.00 an hour of a H100 (assumed)"
    assert one.startswith(f"on 1 x H100 in float32: 2 d 05 h, {words}")
    assert eight.startswith(f"on 8 x H100 in float32: 6 h 39 min, {words}")


def test_weights_that_leave_no_room_are_told():
    in_float32, in_bfloat16, _ = Plan.parse("4xL4").told(LLAMA)
    assert in_float32.endswith("weights 27.0 of 24 GB, which leaves no room to run mutants")
    assert in_bfloat16.endswith("weights 13.5 of 24 GB, mutants the rest")


@pytest.mark.parametrize(
    "told, name",
    [("NVIDIA A100-SXM4-80GB", "A100"), ("NVIDIA L40S", "L40S"), ("NVIDIA L4", "L4"), ("", None)],
)
def test_a_card_is_known_by_the_name_that_its_driver_tells(told, name):
    assert card_named(told) == name


def test_hours_of_one_card_are_those_of_another_by_their_rates():
    assert Plan(1, "H100").against("H100", "float32") == 1
    assert Plan(1, "L4").against("H100", "bfloat16") == pytest.approx(989 / 121, rel=0.01)
    assert Plan(1, "H200").against("L4", "float16") == pytest.approx(121 / 989, rel=0.02)


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
    assert "on 8 x H100 in bfloat16: " in result.out
    assert cli("genome", llama_folder, "--plan", "many").code == 2
