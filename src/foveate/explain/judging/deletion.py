"""Deletion: how fast the target's score falls as the most important pixels are removed first.

Paper   Petsiuk, Das, Saenko. RISE. BMVC 2018. arXiv:1806.07421, sec. 4.2.
Differs from the paper: see ``removal``.
"""

from __future__ import annotations

from dataclasses import dataclass

from foveate.explain.judging.metric import metrics
from foveate.explain.judging.removal import Removal


@metrics.register("deletion")
@dataclass(frozen=True)
class Deletion(Removal):
    """The area under the curve while pixels are removed, in [0, 1]; small if the map finds what counts."""

    name = "deletion"
    asks = "does the score fall when what the map marks is removed?"
    better = "lower"
    inserts = False
