"""Relevance rank accuracy: of as many most important pixels as the mask has, which share lies on it.

Paper   Arras, Osman, Samek. CLEVR-XAI. Information Fusion 2022. arXiv:2003.07258, sec. 3.3.
Differs from the paper: ties by the raster.
"""

from __future__ import annotations

from dataclasses import dataclass

from foveate.explain.judging.marked import both, masks_of, top, where, without_mask
from foveate.explain.judging.metric import Maps, Metric, Values, metrics
from foveate.explain.judging.order import ranks, tied
from foveate.explain.judging.subject import Subject


@metrics.register("rank")
@dataclass(frozen=True)
class Rank(Metric):
    """The share in [0, 1]."""

    name = "rank"
    asks = "are the most important pixels on the object?"
    better = "higher"
    about = "localisation"
    needs = frozenset({"masks"})
    ranks = True

    def __call__(self, maps: Maps, subject: Subject) -> Values:
        """Return the share of each picture."""
        inside = masks_of(subject)
        size = inside.sum(dim=1)
        hits = both(top(ranks(maps.values), size), inside)
        missing = without_mask(inside)
        return Values(
            where(missing, hits.double() / size), missing, {"tied": tied(maps.values).cpu().numpy()}
        )
