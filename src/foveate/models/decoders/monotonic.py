"""Where a monotonic reader stops: it moves forward place by place from where it is.

Raffel, Luong, Liu, Weiss, Eck. Online and Linear-Time Attention by Enforcing Monotonic Alignments. ICML 2017.
arXiv:1704.00784.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def expected_stops(energies: Float[Tensor, "b n"], before: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """Return the probability of stopping at each place.

    a_j = p_j sum_{k <= j} before_k prod_{l = k}^{j - 1} (1 - p_l), p = sigmoid(energies); rows sum to less
    than 1 by what ran past the end.

    Args:
        energies: Any real numbers.
        before: Probability that the last step stopped at each place.
    """
    passed = F.logsigmoid(-energies)  # log(1 - p)
    ahead = F.pad(passed.cumsum(dim=1)[:, :-1], (1, 0))  # of all places before j
    places = torch.arange(energies.shape[1], device=energies.device)
    backward = places.unsqueeze(1) > places  # (k, j): there is no way from k back to j
    ways = (ahead.unsqueeze(1) - ahead.unsqueeze(2)).masked_fill(backward, -torch.inf).exp()
    return energies.sigmoid() * (before.unsqueeze(1) @ ways).squeeze(1)


def hard_stops(energies: Float[Tensor, "b n"], before: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """Return 1 at the first place from the last one on whose probability is above one half."""
    willing = (before.cumsum(dim=1) > 0) & (energies > 0)
    return (willing & (willing.cumsum(dim=1) == 1)).to(before.dtype)
