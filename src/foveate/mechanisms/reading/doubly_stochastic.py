"""The doubly stochastic regulariser: over all steps, every place should get a total weight of about one.

Xu et al. Show, Attend and Tell. ICML 2015. arXiv:1502.03044, equation 14.
"""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from foveate.options import one_of


def doubly_stochastic(
    weights: Float[Tensor, "b t n"],
    kind: str = "paper",
    steps: Bool[Tensor, "b t"] | None = None,
    mask: Bool[Tensor, "b n"] | None = None,
    *,
    target: float | str = 1.0,
) -> Float[Tensor, ""]:
    """Return how far the weights of each place are from summing to one, or to another target, over the steps.

    Args:
        weights: Of T steps (words) over N places, in [0, 1].
        kind: "paper" is the mean over the batch of sum_i (1 - sum_t a_ti)^2. The released code takes the sum
            over the batch of means over places ("released": B/N times as much), a popular tutorial means over
            both ("tutorial": 1/N). A factor copied from one must be rescaled for another.
        steps: True for steps that exist; the others' weights do not count. None for all.
        mask: True for places that may be looked at; the others do not count. None for all.
        target: What the weights of a place should sum to. T steps sum to T over N places, so that 1 for each
            is possible only if T = N; the least value is N (1 - T/N)^2. "length" is T/N, with least value 0.

    Returns:
        One number, at least 0; multiply it by the factor of your choice. Paper: 1 for COCO.

    Raises:
        OptionError: ``kind`` is unknown, or ``target`` is a word other than "length".

    Example:
        >>> import torch
        >>> doubly_stochastic(torch.full((2, 3, 4), 0.25))  # 4 places, each short of 1 by a quarter
        tensor(0.2500)
    """
    one_of("kind", kind, ("paper", "released", "tutorial"))
    if steps is not None:
        weights = weights.masked_fill(~steps.unsqueeze(2), 0.0)
    short = (_target(weights, target, steps, mask) - weights.sum(dim=1)) ** 2  # (B, N)
    if mask is not None:
        short = short.masked_fill(~mask, 0.0)
    if kind == "paper":
        return short.sum(dim=1).mean()
    places = short.shape[1] if mask is None else mask.sum(dim=1).clamp_min(1)
    means = short.sum(dim=1) / places
    return means.sum() if kind == "released" else means.mean()


def _target(
    weights: Float[Tensor, "b t n"], target: float | str, steps: Tensor | None, mask: Tensor | None
) -> float | Float[Tensor, "b 1"]:
    if not isinstance(target, str):
        return target
    one_of("target", target, ("length",))
    many = weights.new_tensor([weights.shape[1]]) if steps is None else steps.sum(dim=1).to(weights.dtype)
    places = weights.new_tensor([weights.shape[2]]) if mask is None else mask.sum(dim=1).clamp_min(1)
    return (many / places).unsqueeze(1)
