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
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag

from foveate.models.crf.lattice import by_vertex, lines, ring, touched
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


FINE = Quality(1.5, 4, 1)
FAST = Quality(1.15, 2, 2)


@dataclass(frozen=True)
class _Lattice:
    """The lattice of one image of N pixels: M vertices, and one more that is nobody and stays 0.

    Attributes:
        index: The vertices of each pixel's simplex.
        weights: The shares that they have in it, as large as the kernel is there.
        starts: Where each vertex' pixels begin.
        pixels: All vertices' pixels.
        shares: The shares of the vertices in them.
        near: Each vertex and its neighbours, along each axis.
    """

    index: Int[Tensor, "n corners"]
    weights: Float[Tensor, "n corners"]
    starts: Int[Tensor, " m2"]
    pixels: Int[Tensor, " shares"]
    shares: Float[Tensor, " shares"]
    near: Int[Tensor, "corners m1 taps"]

    def scaled(self, before: Tensor | None, after: Tensor | None) -> _Lattice:
        """Return the lattice whose values are multiplied (N,) before and after."""
        weights = self.weights if after is None else self.weights * after[:, None]
        shares = self.shares if before is None else self.shares * before[self.pixels]
        return _Lattice(self.index, weights, self.starts, self.pixels, shares, self.near)


def permutohedral(features: Float[Tensor, "b n d"], quality: Quality) -> Kernel:
    """Return the kernel; the lattices are built once, here, and serve every call and every gradient.

    Args:
        features: A row a pixel, divided by the kernel's standard deviations. No gradient flows to them.
        quality: ``FINE`` or ``FAST``.

    Raises:
        OptionError: The standard deviations are too small for the range of the features.
    """
    lattices = [_lattice(each, quality) for each in features.detach()]
    taps = _taps(quality)
    strengths = [taps.to(features).expand(each.near.shape[1:]).contiguous() for each in lattices]

    def scaled(before: Tensor | None, after: Tensor | None) -> Filter:
        @functools.cache
        def ready(backwards: bool) -> list[_Lattice]:
            ends = (after, before) if backwards else (before, after)
            each = zip(lattices, *(_flat(end, len(lattices)) for end in ends), strict=True)
            return [lattice.scaled(*shares) for lattice, *shares in each]

        def run(backwards: bool, values: Tensor) -> Tensor:
            given = zip(ready(backwards), strengths, rows(values.detach()), strict=True)
            found = [_through(*each, backwards) for each in given]
            return planes(torch.stack(found) if len(found) > 1 else found[0][None], values)

        forth, back = functools.partial(run, False), functools.partial(run, True)
        return lambda values: linear(forth, back, values)

    return scaled


def _flat(share: Tensor | None, batch: int) -> list[Tensor] | list[None]:
    return [None] * batch if share is None else list(share.detach().flatten(1))


def _lattice(features: Float[Tensor, "n d"], quality: Quality) -> _Lattice:
    points = touched(features * quality.resolution)
    keys = ring(points, quality.least)
    near = lines(points, keys, quality.reach)
    nobody = torch.full_like(near[:, :1], len(keys))
    weights = points.weights * _density(features.shape[1], quality.resolution)
    return _Lattice(
        points.index, weights, *by_vertex(points, len(keys) + 1), torch.cat([near, nobody], dim=1)
    )


def _through(lattice: _Lattice, strengths: Tensor, values: Tensor, backwards: bool) -> Float[Tensor, "n l"]:
    """Filter the values (N, L) of one image."""
    vertices = embedding_bag(
        lattice.pixels,
        values,
        lattice.starts,
        mode="sum",
        per_sample_weights=lattice.shares,
        include_last_offset=True,
    )
    for near in reversed(lattice.near) if backwards else lattice.near:
        vertices = embedding_bag(near, vertices, mode="sum", per_sample_weights=strengths)
    return embedding_bag(lattice.index, vertices, mode="sum", per_sample_weights=lattice.weights)


@functools.cache
def _taps(quality: Quality) -> Float[Tensor, " taps"]:
    """Return the blur along an axis: itself, one ahead, one behind, two ahead ...; they sum to 1.

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
    taps = torch.cat([side.new_ones(1), side.repeat_interleave(2)])
    return taps / taps.sum()


def _density(d: int, resolution: float) -> float:
    """Return the integral of the Gaussian times how many vertices there are in a unit of volume."""
    return math.pow(4 * math.pi / 3 * resolution**2, d / 2) * math.sqrt(d + 1)
