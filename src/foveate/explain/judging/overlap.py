"""Overlap: intersection over union of the mask and as many most important pixels as it has.

Formula hits / (2 K - hits) for a mask of K pixels: a function of ``rank``, on the scale of segmentation.
Paper   Intersection over union as in Everingham et al., PASCAL VOC. IJCV 2010, sec. 4.2.
Differs from the paper: the map is cut at the mask's own size instead of at a threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

from foveate.explain.judging.marked import both, masks_of, top, where, without_mask
from foveate.explain.judging.metric import Maps, Metric, Values, metrics
from foveate.explain.judging.order import ranks, tied
from foveate.explain.judging.subject import Subject


@metrics.register("overlap")
@dataclass(frozen=True)
class Overlap(Metric):
    """Intersection over union in [0, 1]."""

    name = "overlap"
    asks = "do the most important pixels cover the object?"
    better = "higher"
    about = "localisation"
    needs = frozenset({"masks"})
    ranks = True

    def __call__(self, maps: Maps, subject: Subject) -> Values:
        """Return the overlap of each picture."""
        inside = masks_of(subject)
        size = inside.sum(dim=1)
        hits = both(top(ranks(maps.values), size), inside)
        missing = without_mask(inside)
        return Values(
            where(missing, hits.double() / (2 * size - hits)),
            missing,
            {"tied": tied(maps.values).cpu().numpy()},
        )
