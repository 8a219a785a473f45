"""The generalised mean of each channel, whose weights are formed only while they are recorded."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from foveate.mechanisms.map_tap import MapTap


def power_mean(x: Float[Tensor, "b c h w"], p: Tensor | float, tap: MapTap) -> Float[Tensor, "b c"]:
    """Return ``mean(x^p)^(1/p)`` over the positions.

    Args:
        x: A map of positive values.
        p: The power, at least 1.
        tap: While it is recording, gets the weights (B, C, H, W) under which the values sum to that mean.
    """
    # The mean scales with its argument: by any constant, of which no gradient is needed.
    scale = x.detach().amax(dim=(2, 3), keepdim=True)
    shares = x / scale
    mean = shares.pow(p).mean(dim=(2, 3), keepdim=True).pow(1 / p)
    if not tap.recording:
        return (scale * mean).flatten(1)
    weights = (shares / mean).pow(p - 1) / (x.shape[2] * x.shape[3])
    return (tap(weights) * x).sum(dim=(2, 3))
