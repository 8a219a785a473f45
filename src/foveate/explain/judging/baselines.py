"""What a map has to beat: maps that know nothing of the model, the input gradient, and the true mask on top.

``random``         independent uniform values.
``smooth_random``  random values at the resolution of the judged maps, interpolated: the fair control for maps
                   of a few cells.
``centre``         a Gaussian in the middle of the picture, with a deviation of a quarter of each side.
``edges``          the Sobel magnitude of the grey picture, both directions, reflected at the border.
``gradient``       the largest absolute gradient of the logit over the channels of each pixel.
``mean_mask``      the mean true mask of the other pictures: where such objects usually are.
``mask``           the true mask itself: the upper end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from foveate.errors import DataError
from foveate.explain.judging.grids import Grid
from foveate.explain.judging.subject import Subject
from foveate.registry import Registry
from foveate.running import untouched

Make = Callable[[Subject, Grid, int], Tensor]


@dataclass(frozen=True)
class Baseline:
    """A map to beat.

    Args:
        make: Subject, resolution of the judged maps, number of the draw -> maps (B, H, W).
        words: What it is called in a sentence.
        draws: How many of them are judged, a picture's score being their mean.
        needs_masks: Whether it is made of the true masks.
        bound: Whether it is the upper end and not something to beat.
    """

    make: Make
    words: str
    draws: int = 1
    needs_masks: bool = False
    bound: bool = False


baselines: Registry[Baseline] = Registry("baseline of maps")


def random(subject: Subject, _grid: Grid, draw: int) -> Float[Tensor, "b h w"]:
    """Return uniform values."""
    shape = (subject.count, *subject.size)
    return torch.rand(shape, generator=subject.generator(100 + draw)).to(subject.images)


def smooth_random(subject: Subject, grid: Grid, draw: int) -> Float[Tensor, "b h w"]:
    """Return uniform values on a grid, interpolated."""
    small = torch.rand((subject.count, 1, *grid), generator=subject.generator(200 + draw))
    large = F.interpolate(small, size=subject.size, mode="bilinear", align_corners=False)
    return large[:, 0].to(subject.images)


def centre(subject: Subject, _grid: Grid, _draw: int) -> Float[Tensor, "b h w"]:
    """Return a Gaussian in the middle."""
    down, right = (
        torch.exp(-0.5 * ((torch.arange(side, dtype=torch.float64) - (side - 1) / 2) / (side / 4)) ** 2)
        for side in subject.size
    )
    return (down[:, None] * right).expand(subject.count, -1, -1).to(subject.images)


def edges(subject: Subject, _grid: Grid, _draw: int) -> Float[Tensor, "b h w"]:
    """Return the magnitude of the Sobel filters' response to the mean of the channels."""
    grey = F.pad(subject.images.mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="reflect")
    across = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]).to(grey)
    found = F.conv2d(grey, torch.stack([across, across.T])[:, None])
    return torch.linalg.vector_norm(found, dim=1)


def gradient(subject: Subject, _grid: Grid, _draw: int) -> Float[Tensor, "b h w"]:
    """Return the largest absolute gradient of the logit over channels."""
    found = []
    with untouched(subject.model), torch.enable_grad():
        for part in subject.parts(subject.count):
            x = subject.images[part].detach().clone().requires_grad_()
            logits = subject.score.of(torch.arange(part.start, part.stop)).logits(subject.model(x))
            found.append(torch.autograd.grad(logits.sum(), x)[0].abs().amax(dim=1))
    return torch.cat(found)


def mean_mask(subject: Subject, _grid: Grid, _draw: int) -> Float[Tensor, "b h w"]:
    """Return the mean of the other pictures' masks.

    Raises:
        DataError: There is only one picture.
    """
    masks = mask(subject, _grid, _draw)
    if len(masks) < 2:
        raise DataError("baseline mean_mask: got one picture, expected others whose masks can be averaged.")
    return (masks.sum(dim=0) - masks) / (len(masks) - 1)


def mask(subject: Subject, _grid: Grid, _draw: int) -> Float[Tensor, "b h w"]:
    """Return the true masks."""
    if subject.masks is None:
        raise AssertionError("this baseline is only made where masks are known")
    return subject.masks.to(subject.images)


_ALL = {
    "random": Baseline(random, "a random map", draws=3),
    "smooth_random": Baseline(smooth_random, "a smooth random map", draws=3),
    "centre": Baseline(centre, "the centre of the picture"),
    "edges": Baseline(edges, "the edges of the picture"),
    "gradient": Baseline(gradient, "the input gradient"),
    "mean_mask": Baseline(mean_mask, "the usual place of such objects", needs_masks=True),
    "mask": Baseline(mask, "the true mask", needs_masks=True, bound=True),
}
for _name, _baseline in _ALL.items():
    baselines.register(_name)(_baseline)
