"""One score a position from a convolution to one channel, and the mean of all positions under their softmax.

Plainly ``layer(x)`` and ``(x * scores.softmax()).sum()``; on an eager CPU the layer is a weighted sum over
channels, whose gradient goes into the one map that gating makes (``reductions.py``).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.kernels.eager_cpu import fusing, plain, weighted
from foveate.mechanisms.kernels.pointwise_convolution import project
from foveate.mechanisms.kernels.reductions import weighted_sum
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import widen


def position_scores(layer: nn.Conv2d, x: Float[Tensor, "b c h w"]) -> tuple[Tensor, Float[Tensor, "b 1 h w"]]:
    """Return ``x`` to continue with and ``layer(x)``, for a convolution of kernel 1 to one channel."""
    rare = x.dtype != layer.weight.dtype or torch.is_autocast_enabled(x.device.type)
    if rare or (plain(x) and not fusing()):
        return x, layer(x)
    x, sums = weighted_sum(x, layer.weight, "channels")
    return x, sums + layer.bias  # type: ignore[operator]


def softmax_pooled(
    layer: nn.Conv2d, x: Float[Tensor, "b c h w"], tap: MapTap, *, shared: bool
) -> tuple[Tensor, Float[Tensor, "b c"]]:
    """Return ``x`` to continue with and the mean of all positions, by the softmax of their scores.

    Args:
        layer: What scores, a convolution of kernel 1 to one channel.
        x: The map.
        tap: Gets the softmax (B, 1, H, W).
        shared: As in ``weighted_sum``: True where ``x`` goes on into a sum, False for ``gated``.
    """
    fast = (fusing() or not plain(x)) and widen(x) is x and x.dtype == layer.weight.dtype
    fast = fast and not torch.is_autocast_enabled(x.device.type)
    if fast:
        x, sums = weighted_sum(x, layer.weight, "channels")
        scores = sums + layer.bias  # type: ignore[operator]
    else:
        scores = widen(project(layer, x))
    weights = tap(scores.flatten(2).softmax(dim=2).unflatten(2, x.shape[2:])).to(x.dtype)
    if fast:
        x, context = weighted_sum(x, weights, "positions", shared=shared)
    else:
        context = weighted(x, weights, "positions")
    return x, context.flatten(1)
