"""Infidelity: whether a map adds up: its sum over a square against what removing the square costs the logit.

Formula mean over squares of (beta s - (f(x) - f(x without the square)))^2, where s is the sum of the map over
        the square and beta = mean(s d) / mean(s^2) makes the scale of the map irrelevant.
Paper   Yeh, Hsieh, Suggala, Inouye, Ravikumar. On the (In)fidelity and Sensitivity of Explanations. NeurIPS
        2019. arXiv:1901.09392, def. 2.1 and sec. 2.3 (square removal).
Cost    squares^2 forward passes a picture, shared by all maps.
Differs from the paper: squares are those of a grid, each perturbing the untouched picture; the filling is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from foveate.explain.judging.metric import Maps, Metric, Values, metrics
from foveate.explain.judging.similarity import pearson
from foveate.explain.judging.subject import Subject
from foveate.options import check_fields, flag, whole


@metrics.register("infidelity")
@dataclass(frozen=True)
class Infidelity(Metric):
    """The mean squared error, from 0, in squared logits.

    Args:
        squares: How many squares divide each side of the picture.
        scaled: Whether the map is scaled by beta first; without it, only maps in logits can do well.
        local: Whether the map says what a step of 1 of a pixel does, as a gradient, so that it is multiplied
            by the removed pixels first; else it says what a whole pixel contributes.
    """

    squares: int = 4
    scaled: bool = True
    local: bool = False

    name = "infidelity"
    asks = "does the map add up to what a square is worth?"
    better = "lower"
    about = "faithfulness"

    def __post_init__(self) -> None:
        check_fields(self, self.name)
        whole("infidelity: squares", self.squares, 2)
        flag("infidelity: scaled", self.scaled)
        flag("infidelity: local", self.local)

    def __call__(self, maps: Maps, subject: Subject) -> Values:
        """Return the error of each picture, and the correlation of both sides as ``correlation``."""
        worth = self._worth(maps, subject)
        drop = self._drops(subject)
        size = (worth**2).mean(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            beta = (worth * drop).mean(axis=1) / size
        errors = {
            "scaled": ((beta[:, None] * worth - drop) ** 2).mean(axis=1),
            "raw": ((worth - drop) ** 2).mean(axis=1),
        }
        missing = {"the map is 0 on every square": size == 0}
        extra = errors | {"beta": beta, "correlation": pearson(worth, drop)}
        return Values(extra.pop("scaled" if self.scaled else "raw"), missing if self.scaled else {}, extra)

    def _worth(self, maps: Maps, subject: Subject) -> Float64[np.ndarray, "b s"]:
        """Return what the map says that each square is worth."""
        values = maps.by_channel if maps.by_channel is not None else maps.values[:, None]
        values = values.double().cpu()
        if self.local:
            values = values * subject.images.double().cpu()
        squares = self._squares(subject)
        return torch.einsum("bn,sn->bs", values.sum(dim=1).flatten(1), squares.flatten(1).double()).numpy()

    def _drops(self, subject: Subject) -> Float64[np.ndarray, "b s"]:
        """Return what removing each square costs the logit; computed once for a subject."""
        key = ("infidelity", self.squares)
        if key not in subject.memory:
            squares = self._squares(subject)
            rows = torch.arange(subject.count).repeat_interleave(len(squares))

            def make(some: Tensor, part: slice) -> Tensor:
                number = torch.arange(part.start, part.stop) % len(squares)
                keep = (~squares[number])[:, None].to(subject.images.device)
                return subject.images[some] * keep

            every = torch.arange(subject.count)
            whole_ = subject.logits(every, lambda some, _: subject.images[some])
            left = subject.logits(rows, make).reshape(subject.count, len(squares))
            subject.memory[key] = whole_[:, None] - left
        return subject.memory[key]

    def _squares(self, subject: Subject) -> Bool[Tensor, "s h w"]:
        """Return the squares of the grid, those at the end being smaller if the sides do not divide."""
        height, width = subject.size
        rows, columns = (torch.arange(side) * self.squares // side for side in (height, width))
        number = rows[:, None] * self.squares + columns
        return number == torch.arange(self.squares**2)[:, None, None]
