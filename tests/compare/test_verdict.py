from __future__ import annotations

from dataclasses import replace

import pytest

from foveate.compare.statistics.family import Difference
from foveate.compare.statistics.verdict import Terms, could_have_found, credit, judge, study_sentence

TERMS = Terms()


def difference(
    low: float | None, high: float | None, seeds: int = 3, mean: float | None = None, more: int | None = 4
):
    middle = mean if mean is not None else ((low or 0) + (high or 0)) / 2
    size = None if seeds < 3 else 2.1
    return Difference(middle, low, high, 0.1, 0.2, 2.0, size, 0.5, more, seeds)


@pytest.mark.parametrize(
    ("low", "high", "name", "words"),
    [
        (
            0.6,
            1.2,
            "helps enough",
            "Better than the baseline: +0.9 points (0.6 to 1.2), more than the 0.5 points",
        ),
        (0.2, 1.2, "helps", "though perhaps by less than the 0.5 points worth having"),
        (0.1, 0.3, "helps", "but by less than the 0.5 points worth having"),
        (-2.0, -1.0, "hurts", "Worse than the baseline: -1.5 points (-2.0 to -1.0)."),
        (-0.4, 0.4, "no difference worth having", "within 0.5 points either way"),
        (-0.4, 0.6, "not yet known", "4 more seeds should give a verdict"),
        (0.0, 0.6, "not yet known", "more seeds"),
        (-0.5, 0.4, "not yet known", "more seeds"),
    ],
)
def test_each_verdict_by_its_interval(low: float, high: float, name: str, words: str):
    verdict = judge(difference(low, high), TERMS)
    assert verdict.name == name
    assert words in verdict.words


def test_under_three_seeds_there_is_no_verdict_however_large_the_difference():
    two = judge(difference(5, 9, seeds=2), TERMS)
    assert two.name == "no verdict" and "(5.0 to 9.0)" in two.words and "two seeds" in two.words
    one = judge(difference(None, None, seeds=1, mean=8), TERMS)
    assert one.name == "no verdict" and "one seed" in one.words and "no interval" in one.words
    item = judge(difference(None, None, seeds=5, mean=100), TERMS)
    assert item.name == "no verdict" and "one test item" in item.words


def test_a_metric_where_less_is_better_turns_the_verdict_not_the_numbers():
    terms = Terms(unit="nats", margin=0.01, higher_is_better=False)
    assert judge(difference(-0.3, -0.2), terms).name == "helps enough"
    assert "-0.25 nats (-0.30 to -0.20)" in judge(difference(-0.3, -0.2), terms).words
    assert judge(difference(0.2, 0.3), terms).name == "hurts"


def test_no_margin_means_that_any_sure_gain_is_enough():
    assert judge(difference(0.01, 0.2), Terms(margin=0)).name == "helps enough"
    assert judge(difference(-0.01, 0.01), Terms(margin=0)).name == "not yet known"


def test_missing_items_are_said_where_seeds_cannot_tell():
    assert "that takes more test images" in judge(difference(-3, 4, more=None), TERMS).words
    sentences = Terms(items="test sentences")
    assert "more test sentences" in judge(difference(-3, 4, more=None), sentences).words
    assert "1 more seed should" in judge(difference(-3, 4, more=1), TERMS).words


def test_runs_that_differ_too_much_are_said_where_items_are_not_what_is_missing():
    noisy = replace(difference(-3, 4, more=None), seed_sd=4.0, item_share=0.2)
    assert "more seeds would not give a verdict, as seeds differ by 4.0 points" in judge(noisy, TERMS).words
    assert "that takes more test images" in judge(replace(noisy, item_share=0.8), TERMS).words


def test_rounding_does_not_hide_a_sign():
    assert "(0.03 to 1.2)" in judge(difference(0.03, 1.2), TERMS).words


@pytest.mark.parametrize(
    ("gain", "over_control", "words"),
    [
        ((1, 2), (0.5, 1), "Helps as attention"),
        ((1, 2), (-0.5, 1), "parameters alone may explain the gain"),
        ((1, 2), (-2, -1), "the control is better still"),
        ((-1, 2), (0.5, 1), "Not shown to help, though it beats the control"),
        ((-1, 2), (-0.5, 1), "Not shown to help, as attention or otherwise"),
    ],
)
def test_attention_is_credited_only_if_the_control_is_beaten_too(gain, over_control, words: str):
    assert words in credit(difference(*gain), difference(*over_control), TERMS)
    assert "No verdict on attention" in credit(
        difference(*gain, seeds=2), difference(*over_control, seeds=2), TERMS
    )


def sentence(**ends: tuple[float, float]) -> str:
    found = {name: difference(*e) for name, e in ends.items()}
    return study_sentence({n: judge(d, TERMS) for n, d in found.items()}, found, TERMS, 1000)


def test_the_studys_sentence():
    assert sentence(a=(1, 2), b=(3, 4)).startswith(
        "Shown to beat the baseline: b +3.5 points (3.0 to 4.0), a +1.5"
    )
    assert "Shown to hurt: b" in sentence(a=(1, 2), b=(-4, -3))
    assert sentence(a=(-1, 2)) == (
        "No variant is shown to beat the baseline: "
        "with 3 seeds and 1,000 test images this study could have found 2.1 points."
    )
    assert "Shown to hurt" in sentence(a=(-4, -3), b=(-1, 2))
    assert sentence(a=(-0.1, 0.1)).startswith("No variant makes a difference worth having")
    assert study_sentence({}, {}, TERMS).startswith("There is nothing to compare")
    two = difference(1, 2, seeds=2)
    assert study_sentence({"a": judge(two, TERMS)}, {"a": two}, TERMS).startswith("No verdict: ")


def test_what_the_study_could_have_found():
    found = difference(-1, 2)
    assert could_have_found([found], TERMS, 1000) == (
        "With 3 seeds and 1,000 test images this study could have found 2.1 points."
    )
    assert "it takes 3 seeds" in could_have_found([difference(-1, 2, seeds=2)], TERMS, 50)
    assert could_have_found([], TERMS).startswith("There was nothing to find")
