"""Top-k intersection: which share of a fixed number of most important pixels lies on the object.

Paper   Theiner, Müller-Budack, Ewerth. Interpretable Semantic Photo Geolocation. WACV 2022. arXiv:2104.14995,
        sec. 4.3 (concept influence and top-k intersection).
Differs from the paper: ties by the raster; k is at most the number of pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from foveate.explain.judging.marked import both, masks_of, top, where, without_mask
from foveate.explain.judging.metric import Maps, Metric, Values, metrics
from foveate.explain.judging.order import ranks
from foveate.explain.judging.subject import Subject
from foveate.options import check_fields, whole


@metrics.register("top_k")
@dataclass(frozen=True)
class TopK(Metric):
    """The share in [0, 1].

    Args:
        k: How many pixels.
    """

    k: int = 100

    name = "top_k"
    asks = "are the k most important pixels on the object?"
    better = "higher"
    about = "localisation"
    needs = frozenset({"masks"})
    ranks = True

    def __post_init__(self) -> None:
        check_fields(self, self.name)
        whole("top_k: k", self.k)

    def __call__(self, maps: Maps, subject: Subject) -> Values:
        """Return the share of each picture."""
        inside = masks_of(subject)
        k = min(self.k, inside.shape[1])
        hits = both(top(ranks(maps.values), torch.full((len(inside),), k)), inside)
        missing = without_mask(inside)
        return Values(where(missing, hits.double() / k), missing)
