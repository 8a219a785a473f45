"""Pointing game: whether the largest value of a map lies on the object, or near it.

Paper   Zhang, Lin, Brandt, Shen, Sclaroff. Top-down Neural Attention by Excitation Backprop. ECCV 2016.
        arXiv:1608.00507, sec. 4.1 (a tolerance of 15 pixels for pictures of about 500).
Differs from the paper: the rate is that over pictures, not the mean of the classes' rates. Among
        equal largest values the first of the raster is the point; no mask, neither hit nor miss.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from foveate.explain.judging.marked import masks_of, where, without_mask
from foveate.explain.judging.metric import Maps, Metric, Values, metrics
from foveate.explain.judging.subject import Subject
from foveate.options import between, check_fields


@metrics.register("pointing")
@dataclass(frozen=True)
class Pointing(Metric):
    """1 for a hit, 0 for a miss.

    Args:
        tolerance: In pixels. With 0 the point must lie on the mask; else nearer than this to a pixel of it.
    """

    tolerance: float = 0.0

    name = "pointing"
    asks = "does the map's maximum lie on the object?"
    better = "higher"
    about = "localisation"
    needs = frozenset({"masks"})
    ranks = True
    hits = True

    def __post_init__(self) -> None:
        check_fields(self, self.name)
        between("pointing: tolerance", self.tolerance, 0)

    def __call__(self, maps: Maps, subject: Subject) -> Values:
        """Return whether each picture's maximum hits."""
        inside, width = masks_of(subject), subject.size[1]
        points = maps.values.flatten(1).argmax(dim=1).cpu()  # the first, as torch promises
        if self.tolerance == 0:
            hits = inside.gather(1, points[:, None])[:, 0]
        else:
            pixels = torch.arange(inside.shape[1])
            down = pixels // width - (points // width)[:, None]
            right = pixels % width - (points % width)[:, None]
            hits = (inside & (down**2 + right**2 < self.tolerance**2)).any(dim=1)
        missing = without_mask(inside)
        return Values(where(missing, hits), missing)
