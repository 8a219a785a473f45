"""Gini index of the absolute map: how unequally it divides its attention; it says nothing about truth.

Formula sum_i (2 i - n - 1) a_i / (n sum a) for a sorted from small to large, i from 1.
Paper   Chalasani, Chen, Chowdhury, Jha, Wu. Concise Explanations of Neural Networks. ICML 2020.
        arXiv:1810.06583, sec. 3.
Differs from the paper: nothing. A single pixel drawn at random has the best value: read it beside
        faithfulness only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from foveate.explain.judging.metric import Maps, Metric, Values, metrics
from foveate.explain.judging.subject import Subject


@metrics.register("gini")
@dataclass(frozen=True)
class Gini(Metric):
    """The index in [0, 1): 0 if all pixels count alike."""

    name = "gini"
    asks = "how concentrated is the map?"
    better = "neither"
    about = "form"

    def __call__(self, maps: Maps, subject: Subject) -> Values:
        """Return the index of each picture."""
        sizes = maps.values.flatten(1).double().abs().sort(dim=1).values.cpu()
        count, total = sizes.shape[1], sizes.sum(dim=1)
        weights = 2 * torch.arange(1, count + 1, dtype=torch.float64) - count - 1
        each = ((sizes * weights).sum(dim=1) / (count * total)).numpy()
        missing = {"map of zeros": (total == 0).numpy()}
        return Values(np.where(missing["map of zeros"], np.nan, each), missing)
