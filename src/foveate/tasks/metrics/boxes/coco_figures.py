"""The twelve figures that COCO's evaluation prints, by name."""

from __future__ import annotations

from foveate.tasks.metrics.boxes.average_precision import (
    AveragePrecision,
    AveragePrecision50,
    AveragePrecision75,
    BoxMetric,
)
from foveate.tasks.metrics.boxes.average_recall import average_recall
from foveate.tasks.metrics.boxes.match_records import Matches

_SIZES = ("small", "medium", "large")


def coco_figures(matches: Matches) -> dict[str, float]:
    """Return average precision and recall, in all and by size, in COCO's order; nan where undefined."""
    precisions: list[BoxMetric] = [AveragePrecision(), AveragePrecision50(), AveragePrecision75()]
    precisions += [AveragePrecision(area=area) for area in _SIZES]
    found = {metric.name: metric.value(matches) for metric in precisions}
    found |= {f"AR{most}": average_recall(matches, most=most) for most in (1, 10, 100)}
    return found | {f"AR100 ({area})": average_recall(matches, area=area) for area in _SIZES}
