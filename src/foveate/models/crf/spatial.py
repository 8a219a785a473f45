"""The Gaussian of position: exact, separable, one line of pixels at a time.

Formula K_ij = exp(-(y_i - y_j)^2 / (2 s_y^2) - (x_i - x_j)^2 / (2 s_x^2)); ``reach`` may cut it off.
Cost    H + W multiply-adds a value as two matrix products; with numba 2 min(reach, H) + 2 min(reach, W).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from foveate.models.crf import backend
from foveate.models.crf.operators import Filter, symmetric

CUT = 4.0  # standard deviations after which large images stop: what is left out is 6e-5 of the sum


def spatial(values: Tensor, std: tuple[float, float], cut: float | None) -> Filter:
    """Return the filter for values like these.

    Args:
        values: (B, L, H, W), for size, type and device.
        std: Vertical and horizontal standard deviation in pixels.
        cut: Standard deviations after which the kernel is 0; None for never.
    """
    lines = [_taps(size, each, cut, values) for size, each in zip(values.shape[2:], std, strict=True)]
    vertical, horizontal = (_toeplitz(taps, size) for taps, size in zip(lines, values.shape[2:], strict=True))
    fast = backend.fast_for(values)
    if fast is None:
        return lambda given: vertical @ given @ horizontal

    def run(given: Tensor) -> Tensor:
        planes = given.detach().flatten(0, 1).contiguous()
        out = torch.empty_like(planes)
        taps = (line.numpy() for line in lines)
        fast.labelwise(fast.convolve, planes.numpy(), out.numpy(), *taps)
        return out.view_as(given)

    return lambda given: symmetric(run, given)


def _taps(size: int, std: float, cut: float | None, like: Tensor) -> Float[Tensor, " taps"]:
    """Return the kernel from its middle outwards, as far as two pixels of a line can be apart."""
    reach = size - 1 if cut is None else min(size - 1, math.ceil(cut * std))
    apart = torch.arange(reach + 1, dtype=torch.float64, device=like.device)
    return torch.exp(-(apart**2) / (2 * std**2)).to(like.dtype)


def _toeplitz(taps: Float[Tensor, " taps"], size: int) -> Float[Tensor, "n n"]:
    place = torch.arange(size, device=taps.device)
    apart = (place[:, None] - place).abs()
    return torch.where(apart < len(taps), taps[apart.clamp(max=len(taps) - 1)], 0)
