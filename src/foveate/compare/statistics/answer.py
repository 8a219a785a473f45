"""The answer of a study in words: what to do, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foveate.compare.statistics.difference import Difference
from foveate.compare.statistics.verdict import HELPS, Terms, Verdict, gain_worth, to_know, too_noisy
from foveate.quantities import duration

SAME = "no difference worth having"


@dataclass(frozen=True)
class Candidate:
    """A variant as the answer weighs it.

    Args:
        name: Its name.
        verdict: Against the baseline.
        difference: To the baseline, in the metric's unit.
        attention: Whether it beats its control of equal cost; None without a control.
        macs: Its multiply-adds over the baseline's, 1 if they are the same.
        seed_seconds: What one more seed of it takes, the baseline's run included.
    """

    name: str
    verdict: Verdict
    difference: Difference
    attention: bool | None = None
    macs: float = 1.0
    seed_seconds: float = 0.0


def recommended(candidates: Sequence[Candidate], terms: Terms) -> Candidate | None:
    """Return the variant to use: the cheapest of those that help and are within the margin of the best.

    None if no variant is shown to help.
    """
    helping = [c for c in candidates if c.verdict.name in HELPS]
    if not helping:
        return None
    best = max(_gain(c, terms) for c in helping)
    near = [c for c in helping if _gain(c, terms) >= best - terms.margin]
    return min(near, key=lambda c: (round(c.macs, 2), -_gain(c, terms)))


def answer(candidates: Sequence[Candidate], terms: Terms) -> str:
    """Return what to do, in two or three sentences; ``candidates`` are the variants, without controls."""
    if not candidates:
        return "There is nothing to compare: the study has no variant."
    if all(c.verdict.name == "no verdict" for c in candidates):
        return "No verdict: " + candidates[0].verdict.words.removeprefix("No verdict: ")
    chosen = recommended(candidates, terms)
    undecided = [c for c in candidates if c.verdict.name == "not yet known"]
    if chosen is not None:
        parts = [_use(chosen, terms), _also(candidates, chosen, terms)]
    elif undecided:
        parts = [_undecided(undecided, terms)]
    elif all(c.verdict.name == SAME for c in candidates):
        parts = [f"Keep the baseline: no variant makes a difference of {terms.amount(terms.margin)} or more."]
    elif any(c.verdict.name == "dropped" for c in candidates):
        parts = [_dropped(candidates, terms)]
    else:
        parts = ["Keep the baseline: no variant is shown to beat it."]
    return " ".join(part for part in (*parts, _harmed(candidates, terms)) if part)


def _use(c: Candidate, terms: Terms) -> str:
    cost = c.macs - 1
    price = "for no more multiply-adds" if abs(cost) < 0.001 else f"for {100 * cost:+.2g} % multiply-adds"
    found = f"Use {c.name}: {terms.interval(c.difference)} against the baseline, {price}."
    if c.attention is False:
        found += " A control of equal cost without attention may do as well: size alone may explain the gain."
    return found


def _also(candidates: Sequence[Candidate], chosen: Candidate, terms: Terms) -> str:
    others = [c for c in candidates if c.verdict.name in HELPS and c is not chosen]
    others.sort(key=lambda c: -_gain(c, terms))
    listed = ", ".join(f"{c.name} {terms.interval(c.difference)}" for c in others)
    return f"Also better: {listed}." if others else ""


def _dropped(candidates: Sequence[Candidate], terms: Terms) -> str:
    """Say that a race ended without a winner, on how many seeds, and that this proves nothing."""
    stopped = [c for c in candidates if c.verdict.name in ("dropped", "no verdict")]
    count, of = len(stopped), len(candidates)
    if of == 1:
        which = "the variant was"
    elif count == of:
        which = f"{'both' if of == 2 else f'all {of}'} variants were"
    else:
        which = f"{count} of {of} variants {'was' if count == 1 else 'were'}"
    seeds = sorted({c.difference.seeds for c in stopped})
    after = " to ".join(dict.fromkeys((str(seeds[0]), str(seeds[-1]))))
    if all(c.verdict.name == "dropped" for c in stopped):
        why = f"dropped from the race after {after} seeds, as {gain_worth(terms)} is unlikely"
    else:
        why = f"stopped in the race after {after} seeds, as {gain_worth(terms)} or a verdict is unlikely"
    again = "it" if count == 1 else "the variants that matter"
    return (
        f"Keep the baseline for now: {which} {why}; this proves nothing. To decide, run {again} without "
        "--race in another folder."
    )


def _harmed(candidates: Sequence[Candidate], terms: Terms) -> str:
    hurts = ", ".join(
        f"{c.name} {terms.interval(c.difference)}" for c in candidates if c.verdict.name == "hurts"
    )
    return f"Shown to hurt: {hurts}." if hurts else ""


def _undecided(undecided: Sequence[Candidate], terms: Terms) -> str:
    first = max(undecided, key=lambda c: _gain(c, terms))
    d = first.difference
    side = "ahead" if _gain(first, terms) > 0 else "behind"
    ends = "" if d.low is None or d.high is None else f" ({terms.number(d.low)} to {terms.number(d.high)})"
    text = f"Not decided: {first.name} is {side} by {terms.amount(abs(d.mean))}{ends}"
    if d.chance_worth is not None:
        worth = terms.amount(terms.margin)
        text += f", with a chance of {_percent(d.chance_worth)} to be better by {worth} or more"
    others = len(undecided) - 1
    more = (
        ""
        if not others
        else f" {others} other {'variant is' if others == 1 else 'variants are'} undecided too."
    )
    return f"{text}.{more} {_advice(first, undecided, terms)}"


def _advice(first: Candidate, undecided: Sequence[Candidate], terms: Terms) -> str:
    """Say what would decide it, as a command."""
    d = first.difference
    if d.seeds_to_know is not None:
        seconds = sum(c.seed_seconds for c in undecided) * (d.seeds_to_know - d.seeds)
        time = f", about {duration(seconds)} more" if seconds > 0 else ""
        return f"{d.seeds_to_know} seeds decide 8 of 10 such cases{time}: --seeds {d.seeds_to_know}."
    if d.items_to_know is not None or (d.item_share is not None and d.item_share > 0.5):
        return to_know(d, terms).capitalize() + "."
    return (
        f"More seeds would not decide it{too_noisy(d, terms)}. Train for longer, branch, or widen the margin."
    )


def _percent(chance: float) -> str:
    return "less than 1 %" if chance < 0.01 else f"about {100 * chance:.0f} %"


def _gain(c: Candidate, terms: Terms) -> float:
    return c.difference.mean if terms.higher_is_better else -c.difference.mean
