"""An expectation over all places, estimated from the few that were drawn, with a gradient that is unbiased.

Formula Phi = sum_i a_i f_i. With replacement, i_1 .. i_n drawn from a: (1/n) sum_t f_t, whose gradient in
        a_t is f_t / (n a_t). Without replacement, in the order drawn, m_t = 1 - sum_{s<t} a_s what was left:
        (1/n) sum_t X_t, X_t = sum_{s<t} a_s f_s + m_t f_t, each of which has the expectation Phi; gradient in
        a_t: (1/n) (X_t / a_t + sum_{s>t} (X_s / m_s + f_t - f_s)), the score function of the draw of t, what
        t leaves to the later draws, and the explicit slope of X; in f_t: (1/n) (m_t + (n - t) a_t), t from 1.
Paper   Katharopoulos, Fleuret. Processing Megapixel Images with Deep Attention-Sampling Models. ICML 2019.
        arXiv:1905.03711, section 3; their public code for the estimate without replacement.
Differs that code's gradient in a without replacement, (1/n) (X_t m_t / a_t + sum_{s<t} (f_s - f_t)), is
        biased from two patches on; ``reference`` gives it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

_LEAST = 1e-12  # of what may divide: a place that lies outside has no attention


def with_replacement(values: Float[Tensor, "b k d"], attention: Float[Tensor, "b k"]) -> Float[Tensor, "b d"]:
    """Return the estimate for places that were drawn from the attention independently."""
    mean = values.mean(dim=1)
    slope = values.detach() / (values.shape[1] * attention.detach().clamp_min(_LEAST)).unsqueeze(2)
    return mean + _only_slope(attention, slope)


def without_replacement(
    values: Float[Tensor, "b k d"], attention: Float[Tensor, "b k"], *, reference: bool = False
) -> Float[Tensor, "b d"]:
    """Return the estimate for places that were drawn one after the other, none twice.

    Args:
        values: f at the places, the first drawn first.
        attention: a at the places.
        reference: Whether the attention gets the gradient of the authors' code.
    """
    number = values.shape[1]
    a = attention.detach().unsqueeze(2)
    left = (1 - _before(a)).clamp_min(_LEAST)
    steps = _before(a * values) + left * values  # X
    x, f, a = steps.detach(), values.detach(), a.clamp_min(_LEAST)
    place = torch.arange(number, device=values.device, dtype=values.dtype).view(1, -1, 1)
    if reference:
        slope = x * left / a + _before(f) - place * f
    else:
        slope = x / a + _after(x / left - f) + (number - 1 - place) * f
    return steps.mean(dim=1) + _only_slope(attention, slope / number)


def _only_slope(attention: Tensor, slope: Tensor) -> Tensor:
    """Return zeros (B, D) whose gradient in the attention (B, K) is ``slope`` (B, K, D)."""
    return ((attention - attention.detach()).unsqueeze(2) * slope).sum(dim=1)


def _before(x: Tensor) -> Tensor:
    """Return the sum of what was drawn earlier."""
    return F.pad(x, (0, 0, 1, -1)).cumsum(dim=1)


def _after(x: Tensor) -> Tensor:
    """Return the sum of what was drawn later."""
    return _before(x.flip(1)).flip(1)
