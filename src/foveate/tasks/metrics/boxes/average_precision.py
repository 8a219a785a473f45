"""Average precision: how many of the detections are right, averaged over how many true boxes are found.

Formula for one class and threshold, detections of all images in order of falling score:
        precision_i = right_i / (right_i + wrong_i), recall_i = right_i / true boxes, both over the first i;
        AP = mean over r in {0, 0.01, ..., 1} of max{precision_i : recall_i >= r}, 0 where none reaches r.
        mAP is the mean over classes with true boxes, and over the thresholds 0.5, 0.55, ..., 0.95; mAP50 and
        mAP75 take one threshold.
Paper   Lin et al. Microsoft COCO. ECCV 2014; the 101 points are those of its evaluation.
Absent  A class without true boxes is left out of the mean.
Not an average over images: a study leaves out each image in turn (pseudo-values).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float64

from foveate.options import one_of
from foveate.registry import Registry
from foveate.spelling import build, written
from foveate.tasks.metric import Metric
from foveate.tasks.metrics.boxes.match_boxes import AREAS, THRESHOLDS
from foveate.tasks.metrics.boxes.match_records import Matches

_POINTS = np.linspace(0, 1, 101)
_EVERY = tuple(range(len(THRESHOLDS)))


@dataclass(frozen=True)
class BoxMetric(Metric):
    """A metric of detections; printed in points of 100.

    Args:
        area: Of which objects: all, small (up to 32 x 32 pixels), medium (up to 96 x 96) or large.
    """

    name: str = field(default="", init=False)
    unit: str = field(default="points", init=False)
    scale: float = field(default=100.0, init=False)
    higher_is_better: bool = field(default=True, init=False)
    averages: bool = field(default=False, init=False)
    bounds: tuple[float, float] | None = field(default=(0.0, 1.0), init=False)
    margin: float = field(default=0.5, init=False)
    groups: int | None = field(default=None, init=False)
    area: str = "all"

    thresholds: ClassVar[tuple[int, ...]] = _EVERY
    """Places of the overlaps among ``THRESHOLDS``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("area", self.area, tuple(AREAS))
        if self.area != "all":
            object.__setattr__(self, "name", f"{self.name} ({self.area})")

    def by_class(self, matches: Matches) -> Float64[np.ndarray, " k"]:
        """Return the metric of each class (K,); nan of one without true boxes."""
        return np.array([self._of_class(matches, label).whole for label in range(matches.truths.shape[1])])

    def by_class_without_each(self, matches: Matches) -> Float64[np.ndarray, "n k"]:
        """Return the same without each image in turn (N, K)."""
        images, classes = matches.truths.shape[:2]
        found = np.empty((images, classes))
        for label in range(classes):
            one = self._of_class(matches, label)
            found[:, label] = one.whole
            for image in one.images:
                found[image, label] = one.without(int(image))
        return found

    def value(self, matches: Matches) -> float:
        """Return the mean over the classes that have true boxes; nan if none has."""
        return float(_mean_present(self.by_class(matches)))

    def value_without_each(self, matches: Matches) -> Float64[np.ndarray, " n"]:
        """Return the metric without each image in turn."""
        return _mean_present(self.by_class_without_each(matches))

    def __str__(self) -> str:
        """Return the name in the registry and every option that is not the default."""
        return written(box_metrics, self)

    def _of_class(self, matches: Matches, label: int) -> _Class:
        place = list(AREAS).index(self.area)
        own = np.flatnonzero(matches.labels == label)
        own = own[np.argsort(-matches.scores[own], kind="stable")]
        columns = np.array(self.thresholds)
        found, ignored = (part[own, place][:, columns] for part in (matches.found, matches.ignored))
        return _Class(
            found & ~ignored, ~found & ~ignored, matches.image[own], matches.truths[:, label, place]
        )


box_metrics: Registry[type[BoxMetric]] = Registry("metric of boxes")


@box_metrics.register("map")
@dataclass(frozen=True)
class AveragePrecision(BoxMetric):
    """Mean over classes and over overlaps of 0.5 to 0.95; see ``BoxMetric`` for the option."""

    name: str = field(default="mAP", init=False)


@box_metrics.register("map50")
@dataclass(frozen=True)
class AveragePrecision50(BoxMetric):
    """Mean over classes, at an overlap of 0.5; see ``BoxMetric`` for the option."""

    name: str = field(default="mAP50", init=False)
    thresholds: ClassVar[tuple[int, ...]] = (0,)


@box_metrics.register("map75")
@dataclass(frozen=True)
class AveragePrecision75(BoxMetric):
    """Mean over classes, at an overlap of 0.75; see ``BoxMetric`` for the option."""

    name: str = field(default="mAP75", init=False)
    thresholds: ClassVar[tuple[int, ...]] = (5,)


def parse_box_metric(text: str | BoxMetric) -> BoxMetric:
    """Read a metric: ``map``, ``map50(area=small)``.

    Raises:
        SpecError: The text is not a name with options.
        UnknownNameError: No metric has such a name.
        OptionError: It does not have such an option, or the option cannot have such a value.
    """
    return text if isinstance(text, BoxMetric) else build(box_metrics, text)


@dataclass(frozen=True, eq=False)
class _Class:
    """The detections of one class in order of falling score: which are right and wrong (D, T), whose (D,)."""

    right: Bool[np.ndarray, "d t"]
    wrong: Bool[np.ndarray, "d t"]
    image: np.ndarray
    truths: np.ndarray

    @property
    def whole(self) -> float:
        """The mean of the average precision over thresholds."""
        return _precision(self.right, self.wrong, int(self.truths.sum()))

    @property
    def images(self) -> np.ndarray:
        """The images without which it may be another."""
        return np.union1d(self.image, np.flatnonzero(self.truths))

    def without(self, image: int) -> float:
        """Return it without an image."""
        kept = self.image != image
        return _precision(self.right[kept], self.wrong[kept], int(self.truths.sum() - self.truths[image]))


def _precision(right: Bool[np.ndarray, "d t"], wrong: Bool[np.ndarray, "d t"], truths: int) -> float:
    if not truths:
        return float("nan")
    if not len(right):
        return 0.0
    hits, misses = right.cumsum(axis=0), wrong.cumsum(axis=0)
    recall = hits / truths
    precision = hits / (hits + misses + np.spacing(1))
    best = np.maximum.accumulate(precision[::-1])[::-1]
    total = 0.0
    for column in range(right.shape[1]):
        places = np.searchsorted(recall[:, column], _POINTS, side="left")
        total += best[places[places < len(best)], column].sum()
    return float(total) / (len(_POINTS) * right.shape[1])


def _mean_present(values: Float64[np.ndarray, "*n k"]) -> Float64[np.ndarray, "*n"]:
    """Return the mean over the last axis of what is defined; nan if nothing is."""
    known = ~np.isnan(values)
    count = known.sum(axis=-1)
    total = np.where(known, values, 0.0).sum(axis=-1)
    mean: np.ndarray = np.where(count, total / np.maximum(count, 1), np.nan)
    return mean
