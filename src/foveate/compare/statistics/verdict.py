"""The verdict in words: helps (enough), hurts, no difference worth having, not yet known, or none at all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from foveate.compare.statistics.family import Difference

Name = Literal[
    "helps enough", "helps", "hurts", "no difference worth having", "not yet known", "baseline", "no verdict"
]
LEAST_SEEDS = 3
HELPS = ("helps enough", "helps")


@dataclass(frozen=True)
class Terms:
    """What a verdict is stated in.

    Args:
        unit: The metric's unit, such as ``"points"``.
        margin: The least difference worth having, in that unit; 0 if any difference is.
        higher_is_better: False for an error or a loss.
        items: What a test item is called, in the plural.
    """

    unit: str = "points"
    margin: float = 0.5
    higher_is_better: bool = True
    items: str = "test images"

    def number(self, value: float, *, sign: bool = False) -> str:
        """Return ``value`` with the digits that the margin calls for, and enough not to hide its sign."""
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
    """One of seven names, and a sentence that says it to a person."""

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
        words = f"As good as {reference}: {shown}, inside the {inside} either way."
    else:
        words = f"Not yet known against {reference}: {shown}; {_more(d, terms)}."
    return Verdict(name, words)


def credit(d: Difference, control: Difference, terms: Terms) -> str:
    """Say whether a gain is attention's: only if the control of equal cost is beaten too."""
    helps = judge(d, terms).name
    beats = judge(control, terms, "the control").name
    against = f"against the control of equal cost {terms.interval(control)}"
    if "no verdict" in (helps, beats):
        return f"No verdict on attention: {against}."
    if helps in HELPS and beats in HELPS:
        return f"Helps as attention: {against}."
    if helps in HELPS and beats == "hurts":
        return f"Does not help as attention, the control is better still: {against}."
    if helps in HELPS:
        return f"Not shown to help as attention, parameters alone may explain the gain: {against}."
    if beats in HELPS:
        return f"Not shown to help, though it beats the control: {against}."
    return f"Not shown to help, as attention or otherwise: {against}."


def not_credited(variant: str) -> str:
    """Say that there is no control of equal cost for a variant, and how to get one."""
    return (
        f"Not judged as attention: no control here costs what {variant} costs. "
        'control="each" (--control each) gives every variant its own.'
    )


def study_sentence(
    verdicts: Mapping[str, Verdict],
    differences: Mapping[str, Difference],
    terms: Terms,
    items: int | None = None,
) -> str:
    """Return the study's answer in a sentence or two; ``verdicts`` of the variants, controls left out."""
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
        return f"No variant makes a difference worth having (all less than {least})."
    found = could_have_found(list(differences.values()), terms, items)
    return f"No variant is shown to beat the baseline: {found[0].lower()}{found[1:]}{harmed}"


def could_have_found(differences: Sequence[Difference], terms: Terms, items: int | None = None) -> str:
    """Return what the study could have found at all, in 80 of 100 such studies."""
    count = f" and {items:,} {terms.items}" if items else ""
    if not differences:
        return "There was nothing to find: the study has no variant."
    seeds = differences[0].seeds
    with_ = f"With {seeds} seed{'s' * (seeds != 1)}{count}"
    sizes = [d.detectable for d in differences if d.detectable is not None]
    if not sizes:
        return f"{with_} no difference of any size could have been shown; it takes {LEAST_SEEDS} seeds."
    least, most = terms.number(min(sizes)), terms.number(max(sizes))
    size = most if least == most else f"{least} to {most}"
    return f"{with_} this study could have found {size} {terms.unit}".rstrip() + "."


def _name(low: float, high: float, margin: float) -> Name:
    """Return the verdict on the interval of a gain; spec order: a sure gain counts even where it is small."""
    if low > 0:
        return "helps enough" if low > margin else "helps"
    if high < 0:
        return "hurts"
    return "no difference worth having" if -margin < low and high < margin else "not yet known"


def _more(d: Difference, terms: Terms) -> str:
    if d.more_seeds is None:
        return f"more seeds alone would not tell, it takes more {terms.items}"
    return f"{d.more_seeds} more seed{'s' * (d.more_seeds != 1)} would be expected to tell"


def _why_none(d: Difference, terms: Terms, reference: str) -> str:
    shown = f"{terms.interval(d)} against {reference}"
    if d.seeds == 1:
        why = "one seed cannot show how much luck is in it, so there is no interval"
        return f"No verdict: {shown}; {why}. Run 3 or more."
    if d.low is None:
        return f"No verdict: {shown}; one test item cannot speak for others."
    return f"No verdict: {shown}; two seeds give an interval but no verdict. Run 3 or more."
