"""Area under the ROC curve of a map as the score of its pixels: does a pixel of the object beat another one?

Formula (sum of the ranks of the K mask pixels - K (K + 1) / 2) / (K (N - K)), ties counted half.
Paper   Fawcett. An Introduction to ROC Analysis. Pattern Recognition Letters 2006, sec. 7.
Differs from the paper: nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import rankdata

from foveate.explain.judging.marked import masks_of, where, without_mask
from foveate.explain.judging.metric import Maps, Metric, Values, metrics
from foveate.explain.judging.subject import Subject


@metrics.register("roc_auc")
@dataclass(frozen=True)
class RocAuc(Metric):
    """The area in [0, 1]; 0.5 for a map without a clue."""

    name = "roc_auc"
    asks = "does the map order the object's pixels above the others?"
    better = "higher"
    about = "localisation"
    needs = frozenset({"masks"})
    ranks = True

    def __call__(self, maps: Maps, subject: Subject) -> Values:
        """Return the area of each picture."""
        inside = masks_of(subject)
        places = rankdata(maps.values.flatten(1).double().cpu().numpy(), axis=1)  # from 1, ties their mean
        inner = inside.sum(dim=1).double().numpy()
        outer = inside.shape[1] - inner
        total = np.where(inside.numpy(), places, 0).sum(axis=1)
        missing = without_mask(inside, full=True)
        pairs = np.where(inner * outer > 0, inner * outer, 1)
        return Values(where(missing, torch.from_numpy((total - inner * (inner + 1) / 2) / pairs)), missing)
