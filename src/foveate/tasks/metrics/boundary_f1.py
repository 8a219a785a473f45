"""Boundary F1: how much of the predicted and the true contours lie near each other.

Formula for each class c: P_c = share of the predicted edge pixels of c that lie within the tolerance of a
        true edge pixel of c in the same image, R_c = share of the true ones that lie so near a predicted one,
        F_c = 2 P_c R_c / (P_c + R_c). An edge pixel of c is a known pixel of c that shares a side with a
        known pixel of another class.
Paper   Csurka, Larlus, Perronnin. What is a Good Evaluation Measure for Semantic Segmentation? BMVC 2013,
        section 3.1: over="image", tolerance 0.75 % of the image's diagonal.
Differs the paper wants distances below the tolerance; here one that equals it is near as well.
Absent  a class without edges in prediction and truth is left out; with edges in one of them only it scores
        0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from foveate.options import between
from foveate.tasks.metrics.by_class import ClassMetric
from foveate.tasks.metrics.counted_metric import known_pixels, labels_of, metrics, ratio
from foveate.tasks.metrics.edges import NOWHERE, edges, near

SHARE_OF_DIAGONAL = 0.0075


@metrics.register("boundary_f1")
@dataclass(frozen=True)
class BoundaryF1(ClassMetric):
    """Mean F1 of the classes' edges.

    Args:
        tolerance: How far apart edges may be, in pixels; 0.75 % of the diagonal if None.
        background: Whether class 0 is among the classes that the mean is taken over.
        over: "image": the mean over images of their mean over classes. "data": edges are summed over all
            images, then each class has a score.

    Raises:
        OptionError: An option has an impossible value.

    Example:
        >>> truth, shifted = torch.tensor([[[0, 0, 1, 1, 1]]]), torch.tensor([[[0, 0, 0, 1, 1]]])
        >>> given = torch.nn.functional.one_hot(shifted).permute(0, 3, 1, 2).float()
        >>> [m.value(m.count(given, truth).sum(0)) for m in (BoundaryF1(), BoundaryF1(tolerance=1))]
        [0.0, 1.0]
    """

    name: str = field(default="boundary F1", init=False)
    over: str = field(default="image", kw_only=True)
    tolerance: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tolerance is not None:
            between("tolerance", self.tolerance, 0)

    def pixels(
        self, outputs: Float[Tensor, "b q *s"], targets: Int64[Tensor, " b *s"]
    ) -> Int64[Tensor, "b 4 k"]:
        """Return each class's edge pixels: predicted near, predicted, true near, true."""
        labels, classes = labels_of(outputs, targets)
        known = known_pixels(targets)
        given, true = edges(labels, known), edges(targets, known)
        tolerance = self.tolerance
        if tolerance is None:
            tolerance = SHARE_OF_DIAGONAL * math.hypot(*targets.shape[1:])
        found = (
            near(given, true, tolerance),
            given != NOWHERE,
            near(true, given, tolerance),
            true != NOWHERE,
        )
        return torch.stack(
            [_by_class(of, at, classes) for of, at in zip((given, given, true, true), found, strict=True)],
            dim=1,
        )

    def class_scores(self, pixels: Shaped[Tensor, "*n 4 k"]) -> Float[Tensor, "*n k"]:
        """Return each class's F1."""
        given_near, given, true_near, true = pixels.unbind(-2)
        precision, recall = ratio(given_near, given), ratio(true_near, true)
        f1 = ratio(2 * precision * recall, precision + recall)
        return torch.where(given + true > 0, f1.nan_to_num(), torch.nan)


def _by_class(labels: Int64[Tensor, " b *s"], at: Tensor, classes: int) -> Int64[Tensor, "b k"]:
    """Count the pixels of each item and class among those chosen."""
    batch = labels.shape[0]
    item = torch.arange(batch, device=labels.device).view(-1, *(1,) * (labels.ndim - 1))
    return torch.bincount((item * classes + labels)[at], minlength=batch * classes).view(batch, classes)
