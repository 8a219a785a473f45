"""Energy inside the mask: which share of the positive part of a map lies on the object.

Paper   Wang et al. Score-CAM. CVPR Workshops 2020. arXiv:1910.01279, sec. 4.3 (energy-based pointing game).
Differs from the paper: negative values are set to 0, where min-max scaling would move the zero and so change
        the share; a map without a positive value has no energy, and is counted as such.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foveate.explain.judging.marked import masks_of, share_of, where, without_mask
from foveate.explain.judging.metric import Maps, Metric, Values, metrics
from foveate.explain.judging.subject import Subject


@metrics.register("energy")
@dataclass(frozen=True)
class Energy(Metric):
    """The share in [0, 1]; a map without a clue gets the mask's share of the picture."""

    name = "energy"
    asks = "how much of the map lies on the object?"
    better = "higher"
    about = "localisation"
    needs = frozenset({"masks"})

    def __call__(self, maps: Maps, subject: Subject) -> Values:
        """Return the share of each picture, and how many times that of a map without a clue it is."""
        inside = masks_of(subject)
        energy = maps.values.flatten(1).double().clamp_min(0).cpu()
        total = energy.sum(dim=1)
        missing = without_mask(inside) | {"no positive value": (total <= 0).numpy()}
        each = where(missing, (energy * inside).sum(dim=1) / total)
        share = share_of(inside)
        return Values(each, missing, {"times chance": each / np.where(share > 0, share, np.nan)})
