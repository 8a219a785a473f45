"""Occlusion: how far the probability falls when a square of the image is covered.

    map(i, j) = mean over the squares that cover (i, j) of p(x) - p(x with this square filled)

Paper   Zeiler, Fergus. Visualizing and Understanding Convolutional Networks. ECCV 2014. arXiv:1311.2901,
        section 4.2.
Cost    One run for each square.
Differs from the paper: it shows p itself, by the place of the square.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from foveate.explain.methods.explanation import Explanation, Reads, explanations
from foveate.explain.question import BATCH, Question
from foveate.options import whole


@explanations.register("occlusion")
@dataclass(frozen=True)
class Occlusion(Explanation):
    """Fall of the probability when a square is covered.

    Args:
        size: Side of the square in pixels; None for an eighth of the image's shorter side, rounded up.
        stride: Pixels from one square to the next; None for half of ``size``, rounded up. The last row and
            column of squares end with the image.
        fill: Value of the covered pixels, in units of the normalised image: 0 is its mean colour.
    """

    paper: ClassVar[str] = "Zeiler, Fergus 2014"
    reads: ClassVar[Reads] = "changed images"
    signed: ClassVar[bool] = True
    size: int | None = None
    stride: int | None = None
    fill: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("size", "stride"):
            if getattr(self, name) is not None:
                whole(name, getattr(self, name))

    def __call__(self, question: Question) -> Tensor:
        """Return the maps (B, H, W)."""
        x, (height, width) = question.images, question.size
        size = self.size or -(-min(height, width) // 8)
        stride = self.stride or -(-size // 2)
        covers = squares(height, width, size, stride).to(x.device)  # n H W
        rows = torch.arange(len(x), device=x.device)
        untouched = question.probabilities(x, rows)
        total = torch.zeros(len(x), height, width, device=x.device, dtype=untouched.dtype)
        for row in rows.tolist():
            for part in covers.split(BATCH):
                covered = torch.where(part[:, None], self.fill, x[row])
                found = question.probabilities(covered, rows[row].expand(len(part)))
                total[row] += ((untouched[row] - found)[:, None, None] * part).sum(0)
        return total / covers.sum(0)


def squares(height: int, width: int, size: int, stride: int) -> Tensor:
    """Return squares (n, H, W), bool, that cover every pixel of an image."""
    starts = [[*range(0, max(1, side - size), stride), max(0, side - size)] for side in (height, width)]
    down, across = (
        (torch.arange(side) >= torch.tensor(sorted(set(s)))[:, None])
        & (torch.arange(side) < torch.tensor(sorted(set(s)))[:, None] + size)
        for side, s in zip((height, width), starts, strict=True)
    )
    return (down[:, None, :, None] & across[None, :, None, :]).flatten(0, 1)
