"""The verdict in words: helps (enough), hurts, no difference worth having, not yet known, or no verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from foveate.compare.statistics.difference import Difference, Outcome
from foveate.compare.statistics.power import LEAST_SEEDS

Name = Literal[
    "helps enough",
    "helps",
    "hurts",
    "no difference worth having",
    "not yet known",
    "dropped",
    "baseline",
    "no verdict",
]
HELPS = ("helps enough", "helps")


@dataclass(frozen=True)
class Terms:
    """The terms in which a verdict is stated.

    Args:
        unit: The metric's unit, such as ``"points"``.
        margin: The least difference worth having, in that unit; 0 if any difference is.
        higher_is_better: False for an error or a loss.
        items: Plural for the test items, such as "test images" or "test sentences".
    """

    unit: str = "points"
    margin: float = 0.5
    higher_is_better: bool = True
    items: str = "test images"

    def number(self, value: float, *, sign: bool = False) -> str:
        """Return ``value`` with the digits that the margin needs, and enough to show its sign."""
        digits = max(1, -math.floor(math.log10(self.margin))) if self.margin > 0 else 1
        while value != 0 and round(value, digits) == 0 and digits < 6:
            digits += 1
        return f"{value:{'+' if sign else ''}.{digits}f}"

    def amount(self, value: float, *, sign: bool = False) -> str:
        """Return ``value`` with its unit, if it has one."""
        return f"{self.number(value, sign=sign)} {self.unit}".rstrip()

    def interval(self, d: Difference) -> str:
        """Return the difference with its interval, such as ``+0.4 points (-1.2 to 2.0)``."""
        text = self.amount(d.mean, sign=True)
        if d.low is None or d.high is None:
            return text
        return f"{text} ({self.number(d.low)} to {self.number(d.high)})"


@dataclass(frozen=True)
class Verdict:
    """One of eight names, and a sentence that explains it."""

    name: Name
    words: str


def judge(
    d: Difference,
    terms: Terms,
    reference: str = "the baseline",
    *,
    outcome: Outcome = "open",
    stopped: bool = False,
) -> Verdict:
    """Return the verdict on one difference, in the unit of ``terms``.

    Args:
        d: The difference.
        terms: Unit, margin, direction.
        reference: What it is compared with.
        outcome: How the comparison ended; one that was dropped has no verdict of its own.
        stopped: Whether a race planned more seeds and did not spend them on this comparison.
    """
    if outcome == "dropped":
        worth = f"{gain_worth(terms)} is unlikely"
        after = f"Dropped after {_seeds(d.seeds)}: {terms.interval(d)} against {reference}"
        return Verdict("dropped", f"{after}; {worth}. It was not pursued, which proves nothing.")
    if d.seeds < LEAST_SEEDS or d.low is None or d.high is None:
        stop = _why_stopped(d, outcome) if stopped and d.low is not None else ""
        return Verdict("no verdict", _why_none(d, terms, reference, stop))
    gain = d if terms.higher_is_better else replace(d, low=-d.high, high=-d.low)
    name = _name(gain.low or 0.0, gain.high or 0.0, terms.margin)
    shown, worth = terms.interval(d), f"{terms.amount(terms.margin)} worth having"
    if name == "helps enough":
        words = (
            f"Better than {reference}: {shown}, more than the {worth}."
            if terms.margin
            else (f"Better than {reference}: {shown}.")
        )
    elif name == "helps":
        less = (gain.high or 0.0) < terms.margin
        doubt = f"but by less than the {worth}" if less else f"though perhaps by less than the {worth}"
        words = f"Better than {reference}: {shown}, {doubt}."
    elif name == "hurts":
        words = f"Worse than {reference}: {shown}."
    elif name == "no difference worth having":
        inside = terms.amount(terms.margin)
        words = f"As good as {reference}: {shown}, within {inside} either way."
    else:
        words = f"Not decided against {reference}: {shown}; {to_know(d, terms)}."
    return Verdict(name, words)


def credit(d: Difference, control: Difference, terms: Terms) -> str:
    """Say whether a gain is due to attention: only if the variant beats its control of equal cost too."""
    helps = judge(d, terms).name
    beats = judge(control, terms, "the control").name
    against = f"against the control of equal cost {terms.interval(control)}"
    if "no verdict" in (helps, beats):
        return f"No verdict on attention: {against}."
    if helps in HELPS and beats in HELPS:
        return f"Helps as attention: {against}."
    if helps in HELPS and beats == "hurts":
        return f"Does not help as attention, as the control is better still: {against}."
    if helps in HELPS:
        return f"Not shown to help as attention, as parameters alone may explain the gain: {against}."
    if beats in HELPS:
        return f"Not shown to help, though it beats the control: {against}."
    return f"Not shown to help, as attention or otherwise: {against}."


def not_credited(variant: str) -> str:
    """Say that a variant has no control of equal cost, and how to get one."""
    return (
        f"Not judged as attention: no control matches the cost of {variant}. "
        'control="each" (--control each) gives every variant its own.'
    )


def could_have_found(differences: Sequence[Difference], terms: Terms, items: int | None = None) -> str:
    """Return the differences that 80 of 100 such studies would find, in a sentence."""
    if not differences:
        return "There was nothing to find: the study has no variant."
    count = f" and {items:,} {terms.items}" if items else ""
    with_ = f"With {_seeds(max(d.seeds for d in differences))}{count}"
    sizes = [d.detectable for d in differences if d.detectable is not None]
    if not sizes:
        return f"{with_} no difference of any size could have been shown; it takes {LEAST_SEEDS} seeds."
    least, most = terms.number(min(sizes)), terms.number(max(sizes))
    size = f"{least} {terms.unit}".rstrip() if least == most else f"{least} to {most} {terms.unit}".rstrip()
    each = "" if least == most else ", depending on the variant"
    return f"{with_}, only a difference of {size} or more would have shown{each}."


def to_know(d: Difference, terms: Terms) -> str:
    """Say what would decide an undecided difference: more seeds, more test items, or less noise."""
    if d.seeds_to_know is not None:
        return f"{_seeds(d.seeds_to_know)} in all would decide 8 of 10 such cases"
    if d.items_to_know is not None:
        enough = f"{d.items_to_know:,} {terms.items} in all"
        return f"more seeds would not decide it, {enough} would in 8 of 10 such cases"
    if d.item_share is not None and d.item_share > 0.5:
        return f"more seeds alone would not decide it, that takes more {terms.items}"
    return f"more seeds would not decide it{too_noisy(d, terms)}"


def gain_worth(terms: Terms) -> str:
    """Say what a race looks for."""
    return f"a gain of {terms.amount(terms.margin)} or more" if terms.margin else "a gain"


def too_noisy(d: Difference, terms: Terms) -> str:
    """Say how much one seed's difference varies, compared with the margin."""
    if d.seed_sd is None or not terms.margin:
        return ""
    times = d.seed_sd / terms.margin
    compared = f", {times:.2g} times the margin" if times >= 1 else ""
    return f": the difference of one seed varies by {terms.amount(d.seed_sd)}{compared}"


def _name(low: float, high: float, margin: float) -> Name:
    """Return the verdict on the interval of a gain; a certain gain counts even if it is below the margin."""
    if low > 0:
        return "helps enough" if low > margin else "helps"
    if high < 0:
        return "hurts"
    return "no difference worth having" if -margin < low and high < margin else "not yet known"


def _seeds(count: int) -> str:
    return f"{count} seed" if count == 1 else f"{count} seeds"


def _why_stopped(d: Difference, outcome: Outcome) -> str:
    """Say why a race ended a comparison before it could have a verdict, and how to get one."""
    why = "a verdict was unlikely" if outcome == "futile" else "no variant needed it any longer"
    after = f"the race stopped it after {_seeds(d.seeds)}, as {why}, which proves nothing"
    return f"{after}. To decide, run it without --race in another folder."


def _why_none(d: Difference, terms: Terms, reference: str, stop: str) -> str:
    shown = f"{terms.interval(d)} against {reference}"
    if stop:
        return f"No verdict: {shown}; {stop}"
    if d.seeds == 1:
        why = "one seed cannot separate effect from chance, so there is no interval"
        return f"No verdict: {shown}; {why}. Run at least 3."
    if d.low is None:
        return (
            f"No verdict: {shown}; one test item, or answers that all score alike, cannot represent others. "
            "Models that have learnt nothing yet score alike: train longer."
        )
    return f"No verdict: {shown}; two seeds give an interval but no verdict. Run at least 3."
