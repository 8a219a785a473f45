"""Entropy of the absolute map, in nats: over how many pixels it spreads; it says nothing about truth.

Formula - sum a/s ln(a/s) with s = sum a; at most ln n.
Paper   Bhatt, Weller, Moura. Evaluating and Aggregating Feature-based Model Explanations. IJCAI 2020.
        arXiv:2005.00631, sec. 3 (complexity).
Differs from the paper: nothing. A single pixel drawn at random has the best value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from foveate.explain.judging.metric import Maps, Metric, Values, metrics
from foveate.explain.judging.subject import Subject


@metrics.register("entropy")
@dataclass(frozen=True)
class Entropy(Metric):
    """The entropy in [0, ln n]."""

    name = "entropy"
    asks = "over how many pixels does the map spread?"
    better = "neither"
    about = "form"

    def __call__(self, maps: Maps, subject: Subject) -> Values:
        """Return the entropy of each picture."""
        sizes = maps.values.flatten(1).double().abs().cpu()
        total = sizes.sum(dim=1, keepdim=True)
        each = -torch.special.xlogy(sizes / total, sizes / total).sum(dim=1)
        missing = {"map of zeros": (total[:, 0] == 0).numpy()}
        return Values(np.where(missing["map of zeros"], np.nan, each.numpy()), missing)
