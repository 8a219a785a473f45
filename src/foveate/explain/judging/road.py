"""ROAD: what removing the least important pixels leaves, minus what removing the most important ones leaves.

Paper   Rong et al. A Consistent and Efficient Evaluation Strategy for Attribution Methods. ICML 2022.
        arXiv:2202.00449. The combination of both orders is that of pytorch-grad-cam, (LeRF - MoRF) / 2.
Cost    2 x steps sparse solves and forward passes a picture and map.
Differs from the paper: the probability, not the accuracy. Pixels are counted off by rank, so that exactly a
        stated share is removed: where a quantile of the map decides, as in pytorch-grad-cam, a map that is 0
        in most places loses the whole picture at every step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from foveate.explain.judging.imputation import imputed
from foveate.explain.judging.metric import Maps, Metric, Values, metrics
from foveate.explain.judging.order import ranks, tied
from foveate.explain.judging.subject import Subject
from foveate.options import between, check_fields, whole


@metrics.register("road")
@dataclass(frozen=True)
class Road(Metric):
    """Half the mean difference of the two orders of removal, in [-0.5, 0.5]; 0 for a random map.

    Args:
        steps: How many shares are removed, equally spaced: 9 for 10, 20, ... 90 %.
        noise: Standard deviation of the noise on imputed pixels, in the unit of the images.
    """

    steps: int = 9
    noise: float = 0.01

    name = "road"
    asks = "does what the map marks count more than what it does not mark?"
    better = "higher"
    about = "faithfulness"
    ranks = True

    def __post_init__(self) -> None:
        check_fields(self, self.name)
        whole("road: steps", self.steps, 1, 99)
        between("road: noise", self.noise, 0)

    def __call__(self, maps: Maps, subject: Subject) -> Values:
        """Return the combined score of each picture."""
        turns = ranks(maps.values).cpu()
        most, least = self.curve(turns, subject), self.curve(turns.shape[1] - 1 - turns, subject)
        extra = {
            "morf": most.mean(axis=1),
            "lerf": least.mean(axis=1),
            "tied": tied(maps.values).cpu().numpy(),
        }
        each = (extra["lerf"] - extra["morf"]) / 2
        return Values(each, extra=extra, curves={"morf": most, "lerf": least})

    def counts(self, number: int) -> Int64[np.ndarray, " p"]:
        """Return how many of this number of pixels are removed at each step."""
        return number * np.arange(1, self.steps + 1) // (self.steps + 1)

    def curve(self, turns: Int64[Tensor, "b n"], subject: Subject) -> Float64[np.ndarray, "b p"]:
        """Return the probability after each step for pixels that go in this order."""
        counts = torch.from_numpy(self.counts(turns.shape[1]))
        rows = torch.arange(subject.count).repeat_interleave(len(counts))
        at = counts.repeat(subject.count)

        def make(some: Tensor, part: slice) -> Tensor:
            gone = (turns[some] < at[part, None]).view(-1, *subject.size)
            generators = [subject.generator(10_000 + row) for row in some.tolist()]
            return imputed(subject.images[some], gone, noise=self.noise, generators=generators)

        return subject.probabilities(rows, make).reshape(subject.count, len(counts))
