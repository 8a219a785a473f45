"""Comparisons of a study that is looked at several times: each ends as soon as the answer is known.

A comparison is judged at each of its looks by an interval at the level of that look, and ends at its first
verdict. The levels share the study's alpha (``spending``), so that all looks together keep it. It also ends
where a verdict is out of reach, or, in a race of many variants, where a gain worth having is unlikely: such
ends prove nothing, and as they only stop a comparison they cannot raise the rate of false verdicts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from foveate.compare.statistics.crossed_effects import Components, components, interval
from foveate.compare.statistics.difference import Difference, Outcome, describe
from foveate.compare.statistics.moderation import moderate
from foveate.compare.statistics.outlook import chance_of_verdict
from foveate.compare.statistics.power import LEAST_SEEDS, tells
from foveate.compare.statistics.spending import Look

FUTILE = 0.1  # with a smaller chance of a verdict a comparison ends
_DROP = 1.28  # standard errors: the true gain is below their end with 90 %
_LEAST_TO_DROP = 2  # seeds


@dataclass(frozen=True)
class Decision:
    """How a comparison ended, or where it is.

    Args:
        difference: As at the look where it ended, or at the last look that it has seeds for; before its first
            look, on the seeds that it has.
        seeds: Seeds of that look.
        outcome: ``verdict``: its interval gives one. ``futile``: the predictive chance of one by the last
            look is below 0.1. ``dropped``: out of the race, as a gain worth having is unlikely; never a
            proof. ``open``: none of these.
    """

    difference: Difference
    seeds: int
    outcome: Outcome


@dataclass(frozen=True)
class Standing:
    """Where a comparison is after a look: its moderated components there, the look, and the outcome."""

    components: Components
    look: Look
    outcome: Outcome


def decide(
    against: Mapping[str, np.ndarray],
    scores: Mapping[str, np.ndarray],
    looks: Mapping[str, Sequence[Look]],
    *,
    margin: float = 0.0,
    span: float | None = 1.0,
    higher_is_better: bool = True,
    race: bool = False,
    alpha: float = 0.05,
    further: Mapping[str, float] | None = None,
) -> dict[str, Decision]:
    """Replay all looks of a study in the order of their seeds, and return how each comparison ended.

    Args:
        against: For each variant the scores of what it is compared with, (at least S_v, N): the same seeds in
            the same order, cut to S_v.
        scores: For each variant its scores (S_v, N), rows by seed, columns by test item.
        looks: For each variant its looks, at least one.
        margin: The least difference worth having, in the unit of the scores.
        span: The range of one score (1 for accuracy), or None.
        higher_is_better: False for an error or a loss.
        race: Whether variants are dropped, from two seeds on, when mean + 1.28 standard errors of the gain
            is below the margin.
        alpha: What all comparisons and looks of the study spend together, in (0, 1); for ``p_adjusted``.
        further: For each variant the confidence of its interval at one more look, for ``seeds_to_know``; by
            default that of its next planned look, or of its last.
    """
    ended = replay(
        against, scores, looks, margin=margin, span=span, higher_is_better=higher_is_better, race=race
    )
    found = {}
    for name, standing in ended.items():
        rows, level = standing.components.seeds, standing.look.level
        later = [look for look in _in_order(looks[name]) if look.seeds > standing.look.seeds]
        following = (further or {}).get(name, later[0].level if later else level)
        difference = describe(
            standing.components,
            (scores[name][:rows], against[name][:rows]),
            level,
            margin=margin,
            alpha=alpha,
            higher_is_better=higher_is_better,
            further=following,
        )
        found[name] = Decision(difference, rows, standing.outcome)
    return found


def replay(
    against: Mapping[str, np.ndarray],
    scores: Mapping[str, np.ndarray],
    looks: Mapping[str, Sequence[Look]],
    *,
    margin: float,
    span: float | None,
    higher_is_better: bool = True,
    race: bool = False,
    futile: float = FUTILE,
) -> dict[str, Standing]:
    """Return where each comparison ended; see ``decide``.

    A comparison whose chance of a verdict is below ``futile`` ends; with 0 none does.
    """
    ordered = {name: _in_order(looks[name]) for name in scores}

    def family(seeds: int) -> dict[str, Components]:
        rows = {name: min(seeds, len(y)) for name, y in scores.items()}
        return moderate(
            {n: components(y[: rows[n]] - against[n][: rows[n]], span=span) for n, y in scores.items()}
        )

    found: dict[str, Standing] = {}
    for seeds in sorted({look.seeds for each in ordered.values() for look in each}):
        due = {
            name: look
            for name, each in ordered.items()
            for look in each
            if look.seeds == seeds <= len(scores[name])
            and (name not in found or found[name].outcome == "open")
        }
        judged = family(seeds) if due else {}
        for name, look in due.items():
            c = judged[name]
            gain = c.mean if higher_is_better else -c.mean
            dropped = race and _unlikely(c, gain, margin)
            found[name] = Standing(c, look, _outcome(c, look, ordered[name], margin, dropped, futile))
    for name, each in ordered.items():
        if name not in found:  # not at its first look yet
            found[name] = Standing(family(len(scores[name]))[name], each[0], "open")
    return {name: found[name] for name in scores}


def _outcome(
    c: Components, look: Look, planned: Sequence[Look], margin: float, dropped: bool, futile: float
) -> Outcome:
    """Return the outcome of one look."""
    ends = interval(c, look.level)
    if ends is not None and c.seeds >= LEAST_SEEDS and tells(ends, margin):
        return "verdict"
    if dropped:
        return "dropped"
    later = [each for each in planned if each.seeds > look.seeds]
    out = futile > 0 and bool(later) and not look.last and chance_of_verdict(c, later, margin) < futile
    return "futile" if out else "open"


def _unlikely(c: Components, gain: float, margin: float) -> bool:
    """Return whether a gain worth having is unlikely."""
    return c.defined and c.seeds >= _LEAST_TO_DROP and gain + _DROP * float(np.sqrt(c.variance)) < margin


def _in_order(looks: Sequence[Look]) -> list[Look]:
    return sorted(looks, key=lambda look: look.seeds)
