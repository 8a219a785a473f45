from __future__ import annotations

from typing import Any

import pytest

from foveate.compare.statistics.answer import Candidate, answer, recommended
from foveate.compare.statistics.difference import Difference
from foveate.compare.statistics.verdict import Terms, could_have_found, credit, judge

TERMS = Terms()


def difference(
    low: float | None,
    high: float | None,
    seeds: int = 3,
    mean: float | None = None,
    know: int | None = 7,
    **others: Any,
) -> Difference:
    middle = mean if mean is not None else ((low or 0) + (high or 0)) / 2
    size = None if seeds < 3 else 2.1
    known = {"seeds_to_know": know, "seed_sd": 1.0, "item_share": 0.2, "chance_worth": 0.3}
    return Difference(middle, low, high, 0.1, 0.2, 2.0, size, 0.5, seeds, **{**known, **others})


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
        (-0.4, 0.6, "not yet known", "7 seeds in all would decide 8 of 10 such cases"),
        (0.0, 0.6, "not yet known", "7 seeds in all"),
        (-0.5, 0.4, "not yet known", "7 seeds in all"),
    ],
)
def test_each_verdict_by_its_interval(low: float, high: float, name: str, words: str):
    verdict = judge(difference(low, high), TERMS)
    assert verdict.name == name
    assert words in verdict.words


def test_where_seeds_will_not_do_the_items_that_would_are_named():
    verdict = judge(difference(-0.4, 0.6, know=None, items_to_know=1740), TERMS)
    assert "more seeds would not decide it, 1,740 test images in all would in 8 of 10" in verdict.words


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


def test_what_would_decide_is_said():
    """More seeds if they do, else more items where those are what is missing, else runs that vary less."""
    noisy = judge(difference(-3, 4, know=None), TERMS).words
    assert "the difference of one seed varies by 1.0 points, 2 times the margin" in noisy
    missing = difference(-3, 4, know=None, item_share=0.8)
    assert "that takes more test images" in judge(missing, TERMS).words
    assert "more test sentences" in judge(missing, Terms(items="test sentences")).words


def test_what_was_dropped_has_no_verdict_of_its_own():
    verdict = judge(difference(-1, 0.4, seeds=2), TERMS, outcome="dropped")
    assert verdict.name == "dropped" and "proves nothing" in verdict.words and "2 seeds" in verdict.words


def test_what_a_race_stopped_before_a_verdict_says_how_to_go_on():
    two = difference(-30, 40, seeds=2)
    for outcome, why in (("futile", "a verdict was unlikely"), ("open", "no variant needed it")):
        verdict = judge(two, TERMS, outcome=outcome, stopped=True)
        assert verdict.name == "no verdict" and "Run at least" not in verdict.words
        assert why in verdict.words and "without --race in another folder" in verdict.words
    nothing = judge(difference(None, None, seeds=2, mean=0), TERMS, stopped=True)
    assert "train longer" in nothing.words and "race" not in nothing.words


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


def candidate(name: str, low: float, high: float, terms: Terms = TERMS, **others: Any) -> Candidate:
    seeds = others.pop("seeds", 3)
    own = {key: others.pop(key) for key in ("attention", "macs", "seed_seconds") if key in others}
    d = difference(low, high, seeds=seeds, **others)
    return Candidate(name, judge(d, terms), d, **own)


def sentence(**ends: tuple[float, float]) -> str:
    return answer([candidate(name, *e) for name, e in ends.items()], TERMS)


def test_the_answer_says_what_to_use():
    assert sentence(a=(1, 2), b=(3, 4)) == (
        "Use b: +3.5 points (3.0 to 4.0) against the baseline, for no more multiply-adds. "
        "Also better: a +1.5 points (1.0 to 2.0)."
    )
    assert sentence(a=(1, 2), b=(-4, -3)).endswith("Shown to hurt: b -3.5 points (-4.0 to -3.0).")
    assert "for +12 % multiply-adds" in answer([candidate("a", 1, 2, macs=1.12)], TERMS)
    size = answer([candidate("a", 1, 2, attention=False)], TERMS)
    assert "size alone may explain the gain" in size
    assert "size alone" not in answer([candidate("a", 1, 2, attention=True)], TERMS)


def test_of_variants_that_help_about_equally_the_cheapest_is_recommended():
    dear, cheap, weak = (
        candidate("dear", 1, 3, macs=1.5),
        candidate("cheap", 1, 2.6, macs=1.1),
        candidate("weak", 0.1, 1, macs=1.0),
    )
    for order in ([dear, cheap, weak], [weak, cheap, dear]):
        assert recommended(order, TERMS) is cheap
    assert recommended([dear, weak], TERMS) is dear
    assert recommended([candidate("same", -0.1, 0.1)], TERMS) is None
    less = Terms(higher_is_better=False)
    better, worse = candidate("a", -3, -2, less), candidate("b", 2, 3, less)
    assert recommended([worse, better], less) is better


def test_the_answer_says_to_keep_the_baseline():
    assert (
        sentence(a=(-0.1, 0.1)) == "Keep the baseline: no variant makes a difference of 0.5 points or more."
    )
    assert sentence(a=(-0.1, 0.1), b=(-4, -3)).startswith(
        "Keep the baseline: no variant is shown to beat it. Shown to hurt: b"
    )
    assert answer([], TERMS).startswith("There is nothing to compare")
    two = answer([candidate("a", 1, 2, seeds=2)], TERMS)
    assert two.startswith("No verdict: ") and "Run at least 3" in two


def dropped(name: str, seeds: int = 2) -> Candidate:
    d = difference(-60, 15, seeds=seeds)
    return Candidate(name, judge(d, TERMS, outcome="dropped"), d)


def test_a_race_without_a_winner_says_on_how_many_seeds_and_that_it_proves_nothing():
    assert answer([dropped(name) for name in "abcd"], TERMS) == (
        "Keep the baseline for now: all 4 variants were dropped from the race after 2 seeds, as a gain of "
        "0.5 points or more is unlikely; this proves nothing. To decide, run the variants that matter "
        "without --race in another folder."
    )
    assert "the variant was dropped" in answer([dropped("a")], TERMS)
    assert "both variants were dropped from the race after 2 to 4 seeds" in answer(
        [dropped("a"), dropped("b", 4)], TERMS
    )
    some = answer([dropped("a"), candidate("same", -0.1, 0.1)], TERMS)
    assert "1 of 2 variants was dropped" in some and "run it without --race" in some
    stopped = answer([dropped("a"), candidate("b", -60, 60, seeds=2)], TERMS)
    assert "both variants were stopped in the race" in stopped and "or a verdict is unlikely" in stopped
    assert answer([dropped("a"), candidate("b", 1, 2)], TERMS).startswith("Use b: ")


def test_an_undecided_answer_says_how_likely_it_is_and_what_would_decide():
    found = answer([candidate("a", -1, 3, seed_seconds=90.0), candidate("b", -3, 2)], TERMS)
    assert found == (
        "Not decided: a is ahead by 1.0 points (-1.0 to 3.0), with a chance of about 30 % to be better by "
        "0.5 points or more. 1 other variant is undecided too. 7 seeds decide 8 of 10 such cases, about "
        "6 min more: --seeds 7."
    )
    noisy = answer([candidate("a", -3, 1, know=None, chance_worth=None)], TERMS)
    assert noisy.startswith(
        "Not decided: a is behind by 1.0 points (-3.0 to 1.0). More seeds would not decide"
    )
    assert noisy.endswith("Train for longer, branch, or widen the margin.")
    items = answer([candidate("a", -3, 1, know=None, item_share=0.9)], TERMS)
    assert items.endswith("More seeds alone would not decide it, that takes more test images.")


def test_what_the_study_could_have_found():
    found = difference(-1, 2)
    assert could_have_found([found], TERMS, 1000) == (
        "With 3 seeds and 1,000 test images, only a difference of 2.1 points or more would have shown."
    )
    assert "it takes 3 seeds" in could_have_found([difference(-1, 2, seeds=2)], TERMS, 50)
    assert could_have_found([], TERMS).startswith("There was nothing to find")
