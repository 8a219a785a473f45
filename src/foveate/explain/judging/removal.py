"""The curve that pixel removal draws: deletion and insertion, which are the same curve from two ends.

Paper   Petsiuk, Das, Saenko. RISE. BMVC 2018. arXiv:1806.07421, sec. 4.2.
Cost    steps - 1 forward passes a picture and map, and two a picture that all maps share.
Differs from the paper: steps are equal shares of the pixels, and the area is a trapezoid over the true
        shares, which is the authors' sum wherever their steps are equal; ties go by the raster, not by an
        unstable sort; several fills; the log-odds and the normalised area beside the probability.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from foveate.explain.judging.fills import LINEAR, Blur, fills
from foveate.explain.judging.imputation import imputed
from foveate.explain.judging.metric import Maps, Metric, Values
from foveate.explain.judging.order import cells, ranks, spread, tied
from foveate.explain.judging.subject import Subject, log_odds
from foveate.options import check_fields, one_of, positive, whole

SCALES = ("probability", "log_odds", "normalised")
_FLAT = 1e-6  # less between the empty and the full picture leaves no range to normalise by


@dataclass(frozen=True)
class Removal(Metric):
    """The area under the curve of the target's score over the share of pixels removed or inserted.

    Args:
        fill: What takes the place of pixels: zero, black, mean, blur, linear or donor.
        steps: Into how many steps the pixels are divided; the curve has one point more.
        scale: Of the score: the probability, its log-odds, or the probability with 0 for the filled picture
            and 1 for the whole one.
        blur: For fill=blur: gaussian, or rise for RISE's own.
        sigma: For fill=blur, in pixels; None for the default of the kind.
        kernel: For blur=rise, the side of its box in pixels.
        cell: Side in pixels of what is removed as one, such as a patch of a ViT.
        breaks: How often ties are broken at random, the mean being taken; 0 breaks them by the raster.
        noise: For fill=linear, the noise on imputed pixels.
    """

    fill: str = "zero"
    steps: int = 20
    scale: str = "probability"
    blur: str = "gaussian"
    sigma: float | None = None
    kernel: int = 11
    cell: int = 1
    breaks: int = 0
    noise: float = 0.01

    about = "faithfulness"
    ranks = True
    inserts: ClassVar[bool]

    def __post_init__(self) -> None:
        check_fields(self, self.name)
        one_of(f"{self.name}: fill", self.fill, (*fills, LINEAR))
        one_of(f"{self.name}: scale", self.scale, SCALES)
        one_of(f"{self.name}: blur", self.blur, ("gaussian", "rise"))
        whole(f"{self.name}: steps", self.steps, 2)
        whole(f"{self.name}: cell", self.cell)
        whole(f"{self.name}: breaks", self.breaks, 0, 100)
        if self.sigma is not None:
            positive(f"{self.name}: sigma", self.sigma)

    def __call__(self, maps: Maps, subject: Subject) -> Values:
        """Return the area under each picture's curve."""
        small = cells(maps.values, self.cell)
        shares = self.counts(small[0].numel()) / small[0].numel()
        orders = [None] if not self.breaks else [subject.generator(1 + i) for i in range(self.breaks)]
        curves = np.stack([self.curve(ranks(small, g), subject) for g in orders])  # draws x B x points
        areas = {name: _area(self._scaled(curves, name), shares) for name in SCALES}
        each = areas[self.scale]
        extra = {name: area.mean(axis=0) for name, area in areas.items() if name != self.scale}
        extra |= {"tied": tied(small).cpu().numpy()}
        if self.breaks > 1:
            extra |= {"spread over ties": each.std(axis=0, ddof=1)}
        flat = {"the score is the same without the picture": np.isnan(each).any(axis=0)}
        return Values(each.mean(axis=0), flat, extra, {"curve": curves.mean(axis=0)})

    def counts(self, number: int) -> Int64[np.ndarray, " p"]:
        """Return how many of so many cells are gone at each point of the curve."""
        return np.round(np.linspace(0, number, self.steps + 1)).astype(np.int64)

    def curve(self, turns: Int64[Tensor, "b n"], subject: Subject) -> Float64[np.ndarray, "b p"]:
        """Return the probability at each point of each picture's curve.

        Args:
            turns: When each cell's turn comes.
            subject: The model and the pictures.
        """
        counts = torch.from_numpy(self.counts(turns.shape[1]))
        inner = len(counts) - 2  # both ends are the same for every map
        rows = torch.arange(subject.count).repeat_interleave(inner)
        at = counts[1:-1].repeat(subject.count)
        height, width = (side // self.cell for side in subject.size)

        def make(some: Tensor, part: slice) -> Tensor:
            gone = turns[some] < at[part, None].to(turns.device)
            gone = spread(gone.view(-1, height, width), self.cell)
            return self.without(subject, some, ~gone if self.inserts else gone)

        middle = subject.probabilities(rows, make).reshape(subject.count, inner)
        ends = subject.whole, empty(subject, self.fill, self.how)
        first, last = ends[::-1] if self.inserts else ends
        return np.concatenate([first[:, None], middle, last[:, None]], axis=1)

    def without(
        self, subject: Subject, rows: Tensor, gone: Bool[Tensor, "n h w"]
    ) -> Float[Tensor, "n c h w"]:
        """Return pictures without some of their pixels."""
        images = subject.images[rows]
        if self.fill == LINEAR:
            generators = [subject.generator(10_000 + row) for row in rows.tolist()]
            return imputed(images, gone, noise=self.noise, generators=generators)
        return torch.where(gone[:, None], filled(subject, self.fill, self.how)[rows], images)

    @property
    def how(self) -> Blur:
        """How pictures are blurred."""
        return Blur(self.blur, self.sigma, self.kernel)

    def _scaled(self, curves: Float64[np.ndarray, "d b p"], scale: str) -> Float64[np.ndarray, "d b p"]:
        if scale == "log_odds":
            return log_odds(curves)
        if scale == "probability":
            return curves
        bare, full = curves[..., :1], curves[..., -1:]
        if not self.inserts:
            bare, full = full, bare
        span = np.where(np.abs(full - bare) < _FLAT, np.nan, full - bare)
        return (curves - bare) / span


def filled(subject: Subject, fill: str, how: Blur) -> Float[Tensor, "b c h w"]:
    """Return what removed pixels are filled from; computed once for a subject."""
    kept = subject.memory
    key = ("fill", fill, how)
    if key not in kept:
        kept[key] = fills[fill](subject, how)
    return kept[key]


def empty(subject: Subject, fill: str, how: Blur) -> Float64[np.ndarray, " b"]:
    """Return the probability of the target where the whole picture is gone; computed once for a subject."""
    kept = subject.memory
    key = ("empty", fill, how)
    if key not in kept:
        every = torch.arange(subject.count)
        if fill == LINEAR:
            fill = "mean"  # of nothing there is nothing else to impute
        kept[key] = subject.probabilities(every, lambda rows, _: filled(subject, fill, how)[rows])
    return kept[key]


def _area(curves: Float64[np.ndarray, "d b p"], shares: Float64[np.ndarray, " p"]) -> np.ndarray:
    """Return the area under curves over the share of the picture, by trapezoids."""
    return ((curves[..., 1:] + curves[..., :-1]) / 2 * np.diff(shares)).sum(axis=-1)
