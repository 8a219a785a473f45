"""Insertion: how fast the target's score rises as the most important pixels come back first.

Paper   Petsiuk, Das, Saenko. RISE. BMVC 2018. arXiv:1806.07421, sec. 4.2: it starts from a blurred picture.
Differs from the paper: see ``removal``.
"""

from __future__ import annotations

from dataclasses import dataclass

from foveate.explain.judging.metric import metrics
from foveate.explain.judging.removal import Removal


@metrics.register("insertion")
@dataclass(frozen=True)
class Insertion(Removal):
    """The area under the curve while pixels come back, in [0, 1]; large if the map finds what counts."""

    fill: str = "blur"

    name = "insertion"
    asks = "is what the map marks enough for the score?"
    better = "higher"
    inserts = True
