"""How a study that is looked at several times divides its rate of false verdicts among the looks.

Each look may give a false verdict, so the looks share alpha: by Bonferroni's inequality the study as a whole
has at most alpha, whatever the dependence between looks. A look at more seeds finds more, so it gets more:
its share is in proportion to its seeds. A part of alpha is kept for continuing a study beyond its plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PLANNED = 0.8  # of alpha, for the looks planned first; the rest is for continuations


@dataclass(frozen=True)
class Look:
    """One of the times at which a comparison is judged.

    Args:
        seeds: How many seeds it is judged on.
        level: Confidence of this comparison's interval at this look, in (0, 1).
        last: Whether it was the last one planned at its time. Looks after it were asked for when its result
            was known, so whatever it found does not stop them.
    """

    seeds: int
    level: float
    last: bool = False


def spend(looks: Sequence[int], alpha: float) -> tuple[float, ...]:
    """Return the part of ``alpha`` that each look may spend: 3/16, 5/16 and 8/16 of it at 3, 5 and 8 seeds.

    Args:
        looks: Number of seeds of each look, at least 1.
        alpha: What they may spend together, in (0, 1).
    """
    total = sum(looks)
    return tuple(alpha * seeds / total for seeds in looks)


def for_plan(alpha: float) -> float:
    """Return what the looks planned first may spend together, of all that the study may spend."""
    return PLANNED * alpha


def for_continuation(alpha: float, number: int) -> float:
    """Return what the looks of a continuation may spend together: half of what was left before it.

    However often a study is continued, all its looks spend less than ``alpha``.

    Args:
        alpha: What the study may spend in all.
        number: Which continuation it is: 1 for the first.
    """
    return (alpha - for_plan(alpha)) / 2**number
