"""A Gaussian over many features, for images too large for all pairs of pixels.

Formula K = S^T G S: S shares each pixel's value out to the vertices of its simplex; G blurs along each of the
        d + 1 axes by sampled Gaussians, of the variance that going there and back leaves: 1 - 1 / (4 r^2) at
        resolution r. G works on the touched vertices and a ring of others around them: a path between two
        touched vertices may lead over one that no pixel touches.
Paper   Adams, Baek, Davis. Fast High-Dimensional Filtering Using the Permutohedral Lattice. Eurographics
        2010. Sections 3.1 to 3.3.
Shapes  values (B, L, H, W); features (B, H * W, d).
Differs the paper's resolution is 1, its blur (1/2, 1, 1/2), and there is no ring: far less exact.
Note    S, G and S^T are sums of bags of rows: PyTorch's own kernels, on the CPU and on a GPU.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from foveate.models.crf.bags import Bags
from foveate.models.crf.blur import blurs
from foveate.models.crf.lattice import pairs, ring, touched
from foveate.models.crf.operators import Filter, Kernel, linear, planes, rows

_THERE_AND_BACK = 0.25  # variance that S and S^T add at resolution 1


class Quality(NamedTuple):
    """How fine a lattice is.

    Attributes:
        resolution: r; the number of vertices grows with it.
        reach: Steps that a tap of the blur is from the middle at most.
        least: Touched vertices that one of the ring must be next to.
    """

    resolution: float
    reach: int
    least: int


FINE = Quality(1.4, 4, 1)
FAST = Quality(1.15, 2, 2)


def permutohedral(features: Float[Tensor, "b n d"], quality: Quality) -> Kernel:
    """Return the kernel; the lattices are built once, here, and serve every call and every gradient.

    Args:
        features: One row per pixel, divided by the kernel's standard deviations. No gradient flows to them.
        quality: ``FINE`` or ``FAST``.

    Raises:
        OptionError: The standard deviations are too small for the range of the features.
    """
    lattices = [_lattice(each, quality) for each in features.detach()]

    def scaled(before: Tensor | None, after: Tensor | None) -> Filter:
        @functools.cache
        def forwards() -> list[list[Bags]]:
            shares = (_flat(end, len(lattices)) for end in (before, after))
            return [_ends(*each) for each in zip(lattices, *shares, strict=True)]

        @functools.cache
        def backwards() -> list[list[Bags]]:
            return [[step.turned() for step in reversed(steps)] for steps in forwards()]

        def run(steps: Callable[[], list[list[Bags]]], values: Tensor) -> Tensor:
            found = [_through(*each) for each in zip(steps(), rows(values.detach()), strict=True)]
            return planes(torch.stack(found) if len(found) > 1 else found[0][None], values)

        forth, back = functools.partial(run, forwards), functools.partial(run, backwards)
        return lambda values: linear(forth, back, values)

    return scaled


def _flat(share: Tensor | None, batch: int) -> list[Tensor] | list[None]:
    return [None] * batch if share is None else list(share.detach().flatten(1))


def _lattice(features: Float[Tensor, "n d"], quality: Quality) -> list[Bags]:
    """Return S, the blurs and S^T of one image."""
    points = touched(features * quality.resolution)
    keys = ring(points, quality.least)
    corners = points.index.shape[1]
    starts = torch.arange(0, points.index.numel() + 1, corners, dtype=torch.int32, device=features.device)
    shares = points.weights * _density(features.shape[1], quality.resolution)
    slices = Bags(starts, points.index.flatten(), shares.flatten(), len(keys))
    taps = _taps(quality).to(features)
    splat = replace(slices, weights=points.weights.flatten()).turned()
    return [splat, *blurs(pairs(points, keys, quality.reach), len(keys), len(points.keys), taps), slices]


def _ends(steps: list[Bags], before: Tensor | None, after: Tensor | None) -> list[Bags]:
    first, *middle, last = steps
    return [first.scaled(before=before), *middle, last.scaled(after=after)]


def _through(steps: list[Bags], values: Float[Tensor, "n l"]) -> Float[Tensor, "n l"]:
    """Filter the values of one image."""
    for step in steps:
        values = step(values)
    return values


@functools.cache
def _taps(quality: Quality) -> Float[Tensor, " taps"]:
    """Return the blur along an axis: the weights of a vertex and of those 1, 2, ... steps away, in sum 1.

    A step is 3/2 / r^2 long, squared, and d + 1 axes in d dimensions share the variance: cut off where it is,
    a Gaussian of which width leaves the right one?
    """
    from scipy.optimize import brentq

    goal = (quality.resolution**2 - _THERE_AND_BACK) * 2 / 3
    apart = torch.arange(1, quality.reach + 1, dtype=torch.float64)

    def one_side(width: float) -> Tensor:
        return torch.exp(-(apart**2) / (2 * width))

    def excess(width: float) -> float:
        side = one_side(width)
        return float(2 * (side * apart**2).sum() / (1 + 2 * side.sum())) - goal

    side = one_side(brentq(excess, 1e-3, 1e3))
    return torch.cat([side.new_ones(1), side]) / (1 + 2 * side.sum())


def _density(d: int, resolution: float) -> float:
    """Return the integral of the Gaussian times the number of vertices per unit of volume."""
    return math.pow(4 * math.pi / 3 * resolution**2, d / 2) * math.sqrt(d + 1)
