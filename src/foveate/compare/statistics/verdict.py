"""The verdict in words: helps (enough), hurts, no difference worth having, not yet known, or no verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from foveate.compare.statistics.family import Difference
from foveate.compare.statistics.power import LEAST_SEEDS

Name = Literal[
    "helps enough", "helps", "hurts", "no difference worth having", "not yet known", "baseline", "no verdict"
]
HELPS = ("helps enough", "helps")
MOSTLY = 0.5  # with a smaller share of the variance, items are not what is missing


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
    """One of seven names, and a sentence that explains it."""

    name: Name
    words: str


def judge(d: Difference, terms: Terms, reference: str = "the baseline") -> Verdict:
    """Return the verdict on one difference, in the unit of ``terms``."""
    if d.seeds < LEAST_SEEDS or d.low is None or d.high is None:
        return Verdict("no verdict", _why_none(d, terms, reference))
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
        words = f"Not yet known against {reference}: {shown}; {_more(d, terms)}."
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


def study_sentence(
    verdicts: Mapping[str, Verdict],
    differences: Mapping[str, Difference],
    terms: Terms,
    items: int | None = None,
) -> str:
    """Return the study's answer in a sentence or two; ``verdicts`` are the variants', without controls."""
    if not verdicts:
        return "There is nothing to compare: the study has no variant."
    if all(v.name == "no verdict" for v in verdicts.values()):
        return "No verdict: " + next(iter(verdicts.values())).words.removeprefix("No verdict: ")
    helps = [n for n, v in verdicts.items() if v.name in HELPS]
    helps.sort(key=lambda n: -abs(differences[n].mean))
    hurts = [n for n, v in verdicts.items() if v.name == "hurts"]
    listed = ", ".join(f"{n} {terms.interval(differences[n])}" for n in helps)
    harmed = (
        f" Shown to hurt: {', '.join(f'{n} {terms.interval(differences[n])}' for n in hurts)}."
        if hurts
        else ""
    )
    if helps:
        return f"Shown to beat the baseline: {listed}.{harmed}"
    same = [n for n, v in verdicts.items() if v.name == "no difference worth having"]
    if len(same) == len(verdicts):
        least = terms.amount(terms.margin)
        return f"No variant makes a difference worth having (all are within {least})."
    found = could_have_found(list(differences.values()), terms, items)
    return f"No variant is shown to beat the baseline: {found[0].lower()}{found[1:]}{harmed}"


def could_have_found(differences: Sequence[Difference], terms: Terms, items: int | None = None) -> str:
    """Return the differences that 80 of 100 such studies would find, in a sentence."""
    count = f" and {items:,} {terms.items}" if items else ""
    if not differences:
        return "There was nothing to find: the study has no variant."
    with_ = f"With {_seeds(differences[0].seeds)}{count}"
    sizes = [d.detectable for d in differences if d.detectable is not None]
    if not sizes:
        return f"{with_} no difference of any size could have been shown; it takes {LEAST_SEEDS} seeds."
    least, most = terms.number(min(sizes)), terms.number(max(sizes))
    size = most if least == most else f"{least} to {most}"
    return f"{with_} this study could have found {size} {terms.unit}".rstrip() + "."


def _name(low: float, high: float, margin: float) -> Name:
    """Return the verdict on the interval of a gain; a certain gain counts even if it is below the margin."""
    if low > 0:
        return "helps enough" if low > margin else "helps"
    if high < 0:
        return "hurts"
    return "no difference worth having" if -margin < low and high < margin else "not yet known"


def _seeds(count: int, more: str = "") -> str:
    return f"{count} {more}seed" if count == 1 else f"{count} {more}seeds"


def _more(d: Difference, terms: Terms) -> str:
    if d.more_seeds is None and d.seed_sd is not None and (d.item_share or 0.0) < MOSTLY:
        return f"more seeds would not give a verdict, as seeds differ by {terms.amount(d.seed_sd)} (sd)"
    if d.more_seeds is None:
        return f"more seeds alone would not give a verdict, that takes more {terms.items}"
    return f"{_seeds(d.more_seeds, 'more ')} should give a verdict"


def _why_none(d: Difference, terms: Terms, reference: str) -> str:
    shown = f"{terms.interval(d)} against {reference}"
    if d.seeds == 1:
        why = "one seed cannot separate effect from chance, so there is no interval"
        return f"No verdict: {shown}; {why}. Run at least 3."
    if d.low is None:
        return f"No verdict: {shown}; one test item cannot represent others."
    return f"No verdict: {shown}; two seeds give an interval but no verdict. Run at least 3."
