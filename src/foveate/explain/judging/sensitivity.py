"""Sensitivity: how much a map changes when its picture changes invisibly.

Formula max over draws of |map(x + e) - map(x)| / |map(x)|, e uniform in a cube of half side ``radius``.
Paper   Yeh, Hsieh, Suggala, Inouye, Ravikumar. On the (In)fidelity and Sensitivity of Explanations. NeurIPS
        2019. arXiv:1901.09392, sec. 3 (max-sensitivity, by sampling).
Differs from the paper: the radius is in units of pictures in [0, 1], also where images are normalised. A map
        that never changes, such as the centre of the picture, has the best value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from foveate.explain.judging.metric import Maps, Metric, Values, metrics
from foveate.explain.judging.subject import Subject
from foveate.options import check_fields, positive, whole


@metrics.register("sensitivity")
@dataclass(frozen=True)
class Sensitivity(Metric):
    """The largest relative change, from 0.

    Args:
        draws: Changed pictures for each picture.
        radius: The most that a channel of a pixel changes, of pictures in [0, 1].
    """

    draws: int = 10
    radius: float = 0.02

    name = "sensitivity"
    asks = "does the map stay when the picture hardly changes?"
    better = "lower"
    about = "robustness"
    needs = frozenset({"method"})

    def __post_init__(self) -> None:
        check_fields(self, self.name)
        whole("sensitivity: draws", self.draws)
        positive("sensitivity: radius", self.radius)

    def __call__(self, maps: Maps, subject: Subject) -> Values:
        """Return the largest change of each picture's map, and the mean one as ``mean``."""
        if maps.explain is None:
            raise AssertionError("a metric that needs a method is only called with one")
        images, generator = subject.images, subject.generator(2)
        unit = 1.0 if subject.unit is None else subject.unit.to(images).view(1, -1, 1, 1)
        changes = []
        for _ in range(self.draws):
            noise = torch.rand(images.shape, generator=generator, dtype=torch.float64) * 2 - 1
            changed = images + self.radius * unit * noise.to(images)
            changes.append(relative_change(maps.values, maps.explain(subject.model, changed, subject.target)))
        found = np.stack(changes)
        each, mean = found.max(axis=0), found.mean(axis=0)
        return Values(each, {"a map is not finite, or all 0": np.isnan(each)}, {"mean": mean})


def relative_change(
    before: Float[Tensor, "b ..."], after: Float[Tensor, "b ..."]
) -> Float64[np.ndarray, " b"]:
    """Return |after - before| / |before| of each picture; NaN where that is not defined."""
    change, size = (torch.linalg.vector_norm(x.double().flatten(1), dim=1) for x in (after - before, before))
    return torch.where((size > 0) & change.isfinite(), change / size, torch.nan).cpu().numpy()
