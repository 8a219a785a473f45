"""From what a net sees in real and drawn pictures to records, and from records to figures.

Shapes  conditions (B, K + P); distances of poses (B, P), in degrees, or in hundredths of a range.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor

from foveate.data.posed.posed_data import PoseColumn
from foveate.data.posed.posed_feed import PosedBatch
from foveate.errors import OptionError
from foveate.tasks.metrics.pictures import PictureMetric, parse_picture_metric
from foveate.tasks.metrics.pictures.goal_accuracy import ClassAccuracy, PoseAccuracy
from foveate.tasks.metrics.pictures.nearest_training import nearest
from foveate.tasks.metrics.pictures.picture_metric import Drawn
from foveate.tasks.picture_net import Judge

_TOLD = ("class_accuracy", "pose_accuracy", "kid", "fid", "precision", "recall", "nearest_training")
_HALVES = 8  # pictures from which on two halves of them say something


@dataclass(frozen=True)
class GoalScores:
    """What is measured on pictures that are drawn for goals of one kind.

    Args:
        classes: K, how many classes can be asked for.
        columns: What a pose consists of.
    """

    classes: int
    columns: tuple[PoseColumn, ...]

    def seen(self, judge: Judge, batch: PosedBatch, drawn: Float[Tensor, "b 3 s s"]) -> Drawn:
        """Return what the judge sees in real pictures, and in those drawn for their conditions."""
        asked = batch.shown.double().cpu().numpy()
        real, label_real, pose_real = judge.look(batch.images)
        fake, label, pose = judge.look(drawn)
        return Drawn(
            real=real,
            drawn=fake,
            right=self._right(label, asked),
            right_real=self._right(label_real, asked),
            near=nearest(fake, judge.training),
            near_real=nearest(real, judge.training),
            apart=self._apart(pose, asked),
            apart_real=self._apart(pose_real, asked),
        )

    def kept(self, records: np.ndarray) -> Drawn:
        """Return what the records of items hold."""
        return Drawn.unpacked(np.asarray(records, dtype=np.float64), len(self.columns))

    def figures(self, kept: Drawn, judged_by: PictureMetric) -> dict[str, float]:
        """Return all figures but that of one metric, and what real pictures reach, as they are printed."""
        found = {}
        for name in _TOLD:
            metric = parse_picture_metric(name)
            if type(metric) is not type(judged_by) and self.answers(metric):
                found[metric.name] = metric.scale * metric.value(kept)
        for metric in (ClassAccuracy(), PoseAccuracy()):
            if self.answers(metric):
                found[f"{metric.name} of real pictures"] = metric.scale * metric.of_real(kept)
        if len(kept.real) >= _HALVES:
            for name in ("kid", "fid"):
                metric = parse_picture_metric(name)
                halves = metric.of_features(kept.real[::2], kept.real[1::2])
                found[f"{metric.name} of two halves of the real ones"] = metric.scale * halves
        return found

    def answers(self, metric: PictureMetric) -> bool:
        """Return whether pictures of this kind have what a metric looks at."""
        if isinstance(metric, ClassAccuracy):
            return bool(self.classes)
        return bool(self.columns) if isinstance(metric, PoseAccuracy) else True

    def expect(self, metric: PictureMetric) -> None:
        """Raise unless models can be judged by a metric.

        Raises:
            OptionError: The pictures do not have what it looks at, or more of it is not better.
        """
        if not self.answers(metric):
            lacks = "classes" if isinstance(metric, ClassAccuracy) else "a pose"
            raise OptionError(f"metric: got {metric}, but these pictures have no {lacks}. Choose kid or fid.")
        if not metric.judges:
            raise OptionError(
                f"metric: got {metric}, of which more is not better: noise is far from every picture. It is "
                "reported beside the others. Choose kid or fid."
            )

    def _right(self, seen: np.ndarray, asked: np.ndarray) -> Float64[np.ndarray, " b"]:
        if not self.classes:
            return np.full(len(seen), np.nan)
        return (seen == asked[:, : self.classes].argmax(axis=1)).astype(np.float64)

    def _apart(self, seen: np.ndarray, asked: np.ndarray) -> Float64[np.ndarray, "b p"]:
        """Return how far the pose that was seen is from what was asked for."""
        first, found = 0, []
        for column in self.columns:
            own = slice(first, first + column.width)
            one, other = column.decoded(seen[:, own]), column.decoded(asked[:, self.classes :][:, own])
            unit = 1.0 if column.angle else 100 / (column.high - column.low)
            found.append(unit * column.apart(one, other))
            first += column.width
        return np.stack(found, axis=1) if found else np.zeros((len(asked), 0))
