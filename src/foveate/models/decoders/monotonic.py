"""Hard monotonic attention: from where it is, a decoder moves forward place by place until it stops.

Raffel, Luong, Liu, Weiss, Eck. Online and Linear-Time Attention by Enforcing Monotonic Alignments. ICML 2017.
arXiv:1704.00784.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.mechanisms.reading.scores import masked_softmax
from foveate.models.decoders.choices import Choice
from foveate.options import between


class MonotonicChoice(Choice):
    """Stop at a place with probability sigmoid(score + offset), going forward from the last place.

    Training reads the expectation over all ways to go; at inference a place is stopped at if its probability
    is above one half. Who runs past the end reads nothing, zeros, from there on.

    Args:
        choose: "argmax" for hard stops at inference, or "expectation".
        offset: What is added to the scores at the start; learned. Negative: go on rather than stop. Paper: -4
            for hundreds of frames of speech.
        noise: Standard deviation of what is added to the scores in training, so that they learn to be far
            from 0. Paper: 1.

    Raises:
        OptionError: ``choose`` is unknown, or ``noise`` is negative.
    """

    def __init__(self, *, choose: str = "argmax", offset: float = -1.0, noise: float = 1.0) -> None:
        super().__init__(choose, ("argmax", "expectation"))
        self.offset, self.noise = nn.Parameter(torch.tensor(float(offset))), between("noise", noise, 0)

    def drawn(
        self, scores: Float[Tensor, "b t n"], hidden: Bool[Tensor, "b _ n"] | None
    ) -> Float[Tensor, "b t n"]:
        """Return what scores would mean without an order."""
        return masked_softmax(scores, hidden)

    def walk(
        self,
        scores: Float[Tensor, "b t n"],
        hidden: Bool[Tensor, "b _ n"] | None,
        before: Float[Tensor, "b n"],
    ) -> Float[Tensor, "b t n"]:
        """Return the weights of T steps, each of which starts where the one before it stopped."""
        energies = scores + self.offset
        if self.training and self.noise:
            energies = energies + self.noise * torch.randn_like(energies)
        if hidden is not None:
            energies = energies.masked_fill(hidden, torch.finfo(energies.dtype).min / 2)
        hard = not self.training and self.choose == "argmax"
        rows, before = [], before.to(energies.dtype)
        for energy in energies.unbind(1):
            before = _stops(energy, before) if hard else expected_stops(energy, before)
            rows.append(before)
        return torch.stack(rows, dim=1)


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


def _stops(energies: Float[Tensor, "b n"], before: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """Return 1 at the first place from the last one on whose probability is above one half."""
    willing = (before.cumsum(dim=1) > 0) & (energies > 0)
    return (willing & (willing.cumsum(dim=1) == 1)).to(before.dtype)
