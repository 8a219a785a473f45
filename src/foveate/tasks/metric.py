"""What every metric states of itself, whatever it measures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from foveate.options import check_fields


@dataclass(frozen=True)
class Metric:
    """What measures a model, with the name and the unit that a report prints.

    Args:
        name: Its usual name.
        unit: What one printed unit is called.
        scale: Printed value of a score of 1: 100 for a share that is printed in points.
        higher_is_better: Whether more is better.
        averages: Whether it is the mean of one score per item. If not (mean IoU, AUROC, BLEU), a study works
            with pseudo-values.
        bounds: The least and the greatest score there can be, or None.
        margin: The default margin: the least difference worth having, in the unit.
        groups: Into how many groups a study puts the test items, where leaving out each of them in turn
            would take too long (FID); each item is its own group if None.
    """

    name: str
    unit: str
    scale: float
    higher_is_better: bool = True
    averages: bool = True
    bounds: tuple[float, float] | None = (0.0, 1.0)
    margin: float = 0.5
    groups: int | None = None

    reaches_bounds: ClassVar[bool] = True
    """Whether items do score at the ends of the range, as hits and misses do. Where next to none does, the
    share of items that a sample may have missed says nothing about the mean."""

    judges: ClassVar[bool] = True
    """Whether a study may be judged by it. Not by raw confidence: sharper probabilities alone change it."""

    def __post_init__(self) -> None:
        check_fields(self)

    def better(self, score: float, than: float) -> bool:
        """Return whether a score is better than another."""
        return score > than if self.higher_is_better else score < than
