"""How much of a model's attention lies where the answer is to be seen."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn import functional as F

LOOK = 3  # columns of a record: energy inside, share of the area, whether both are known


def looked(
    weights: Float[Tensor, "b m n"] | None, look: Float[Tensor, "b s s"] | None, items: int
) -> Float64[Tensor, "b 3"]:
    """Return the attention inside what the answer is read from, mean over looks, its area, and 1; else zeros.

    A weight is spread evenly over the pixels of its place. A question that is answered by what is not there,
    such as "0 rings", counts for nothing.

    Args:
        weights: Of a square map.
        look: How much of each pixel belongs to it.
        items: B.
    """
    nothing = torch.zeros(items, LOOK, dtype=torch.float64)
    if weights is None or look is None:
        return nothing
    side = math.isqrt(weights.shape[2])
    if side**2 != weights.shape[2]:
        return nothing
    there = F.adaptive_avg_pool2d(look.double().unsqueeze(1), side).flatten(1)
    inside = (weights.double() * there.unsqueeze(1)).sum(dim=2).mean(dim=1)
    area = look.double().mean(dim=(1, 2))
    known = area > 0
    return torch.stack([inside * known, area, known.double()], dim=1)
