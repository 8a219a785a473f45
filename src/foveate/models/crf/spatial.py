"""The Gaussian of position: exact, separable, one line of pixels at a time.

Formula K_ij = exp(-(y_i - y_j)^2 / (2 s_y^2) - (x_i - x_j)^2 / (2 s_x^2)); ``cut`` may cut it off.
Cost    H + W multiply-adds a value as two matrix products; with numba 2 min(reach, H) + 2 min(reach, W).
Note    Its normalisation is separable too: each line by itself.
"""

from __future__ import annotations

import functools
import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from foveate.models.crf import backend
from foveate.models.crf.operators import Filter, Normalise, linear, planes, rows, sides

CUT = 4.0  # standard deviations after which large images stop: what is left out is 6e-5 of the sum


class Line(NamedTuple):
    """The kernel along one axis: after_i taps_|i - j| before_j."""

    taps: Float[Tensor, " taps"]
    before: Float[Tensor, " n"]
    after: Float[Tensor, " n"]


def spatial(images: Tensor, std: tuple[float, float], cut: float | None, normalise: Normalise) -> Filter:
    """Return the filter for images like these.

    Args:
        images: (B, C, H, W), for size, type and device.
        std: Vertical and horizontal standard deviation in pixels.
        cut: Standard deviations after which the kernel is 0; None for never.
        normalise: How it is normalised; see ``operators.normalised``.
    """
    vertical, horizontal = (
        _line(size, each, cut, images, normalise) for size, each in zip(images.shape[2:], std, strict=True)
    )
    fast = backend.fast_for(images, "spatial")
    if fast is None:
        left, right = _matrix(vertical), _matrix(horizontal).T
        return lambda given: left @ given @ right
    turned = [Line(line.taps, line.after, line.before) for line in (vertical, horizontal)]
    forth = functools.partial(_run, fast, vertical, horizontal)
    back = functools.partial(_run, fast, turned[0], turned[1])
    return lambda given: linear(forth, back, given)


def _line(size: int, std: float, cut: float | None, like: Tensor, normalise: Normalise) -> Line:
    """Return the kernel of a line, with taps up to the largest distance of two pixels."""
    reach = size - 1 if cut is None else min(size - 1, math.ceil(cut * std))
    apart = torch.arange(reach + 1, dtype=torch.float64, device=like.device)
    taps = torch.exp(-(apart**2) / (2 * std**2))
    ones = torch.ones(size, dtype=torch.float64, device=like.device)
    shares = (ones if side is None else side for side in sides(_toeplitz(taps, size).sum(1), normalise))
    return Line(*(each.to(like.dtype) for each in (taps, *shares)))


def _matrix(line: Line) -> Float[Tensor, "n n"]:
    return line.after[:, None] * _toeplitz(line.taps, len(line.after)) * line.before


def _toeplitz(taps: Float[Tensor, " taps"], size: int) -> Float[Tensor, "n n"]:
    place = torch.arange(size, device=taps.device)
    apart = (place[:, None] - place).abs()
    return torch.where(apart < len(taps), taps[apart.clamp(max=len(taps) - 1)], 0)


def _run(fast: ModuleType, vertical: Line, horizontal: Line, values: Tensor) -> Tensor:
    """Filter values by the compiled loops, on as many threads as PyTorch uses."""
    labels, height = values.shape[1:3]
    given = rows(values.detach())
    out = torch.empty_like(given)
    wide = Line(horizontal.taps, *(each.repeat_interleave(labels) for each in horizontal[1:]))
    down, across = (_arrays(fast, each) for each in (vertical, wide))
    threads = min(torch.get_num_threads(), height)
    cuts = [height * part // threads for part in range(threads + 1)]
    for source, target in zip(given, out, strict=True):
        lines = source.view(height, -1).numpy(), target.view(height, -1).numpy()

        def run(part: tuple[int, int], lines: Any = lines) -> None:
            fast.smooth(*lines, *part, labels, down, across)

        if threads == 1:
            run((0, height))
            continue
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(run, itertools.pairwise(cuts)))
    return planes(out, values)


def _arrays(fast: ModuleType, line: Line) -> tuple[Any, ...]:
    """Return the arrays of a direction, with taps padded to the number that the loops take together."""
    lacking = -(len(line.taps) - 1) % fast.TOGETHER
    taps = torch.nn.functional.pad(line.taps, (0, lacking))
    return taps.numpy(), line.before.numpy(), line.after.numpy()
