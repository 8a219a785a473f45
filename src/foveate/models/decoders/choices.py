"""How a decoder chooses one place of what its attention weighs, and what the scores learn by.

Every soft read of the catalogue becomes a hard one by a choice: its scores say how probable each place is,
and one place is read. At inference that is the most probable one, or a sample, or the expectation.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from foveate.mechanisms.reading.drawing import CHOICES, at_inference, drawn, relaxed
from foveate.mechanisms.reading.reinforce_loss import ReinforceLoss
from foveate.mechanisms.reading.scores import masked_softmax
from foveate.models.decoders.monotonic import expected_stops, hard_stops
from foveate.options import between, one_of, positive, whole


class Choice(nn.Module):
    """Turn scores into the weights that are used.

    Args:
        choose: What is read at inference: "argmax", "sample" or "expectation".
        known: What ``choose`` may be.

    Class attributes:
        sums: Whether p(word) is summed over what can be read, so that nothing is chosen in training.

    Raises:
        OptionError: ``choose`` is unknown.
    """

    sums: ClassVar[bool] = False

    def __init__(self, choose: str, known: tuple[str, ...] = CHOICES) -> None:
        super().__init__()
        one_of("choose", choose, known)
        self.choose = choose

    def forward(
        self, scores: Float[Tensor, "b t n"], hidden: Bool[Tensor, "b _ n"] | None
    ) -> Float[Tensor, "b t n"]:
        """Return the weights: in training by the method, else what ``choose`` says."""
        if self.training:
            return self.drawn(scores, hidden)
        return at_inference(self.choose, masked_softmax(scores, hidden), hidden, None)

    @abstractmethod
    def drawn(
        self, scores: Float[Tensor, "b t n"], hidden: Bool[Tensor, "b _ n"] | None
    ) -> Float[Tensor, "b t n"]:
        """Return the weights in training."""


class ReinforceChoice(Choice):
    """Draw a place; draws that turned out well are made more probable. Xu et al. ICML 2015, section 4.1.

    Args:
        choose: What is read at inference.
        soft_share: Probability that a sentence reads the expectation in training, in [0, 1]. Paper: 0.5.
        coin: Whether that is decided for each "image" (or sentence) or for the whole "batch".
        kind: Which reward; see ``ReinforceLoss``. With reads="after" a choice has no say in later words:
            "steps" is the least noisy then.
        factor: Weight of the rewarded choices.
        entropy_factor: Weight of the entropy.
        decay: How much of the baseline stays at each update, in [0, 1].

    Raises:
        OptionError: An option is unknown or out of range.
    """

    def __init__(
        self,
        *,
        choose: str = "argmax",
        soft_share: float = 0.5,
        coin: str = "image",
        kind: str = "paper",
        factor: float = 0.1,
        entropy_factor: float = 0.002,
        decay: float = 0.9,
    ) -> None:
        super().__init__(choose)
        one_of("coin", coin, ("image", "batch"))
        self.soft_share, self.coin = between("soft_share", soft_share, 0, 1), coin
        self.reward = ReinforceLoss(kind=kind, factor=factor, entropy_factor=entropy_factor, decay=decay)

    def drawn(
        self, scores: Float[Tensor, "b t n"], hidden: Bool[Tensor, "b _ n"] | None
    ) -> Float[Tensor, "b t n"]:
        """Return draws, for some sentences the probabilities."""
        return drawn(masked_softmax(scores, hidden), hidden, self.soft_share, self.coin)


class GumbelChoice(Choice):
    """Draw a place, with the slope of a relaxed draw in place of its own: straight-through Gumbel-softmax.

    Args:
        choose: What is read at inference.
        tau: Temperature of the relaxed draw, above 0. A buffer, so that it can fall while training runs.
        hard: Whether one place is read in training; else the relaxed draw itself.

    Raises:
        OptionError: ``choose`` is unknown, or ``tau`` is not positive.
    """

    tau: Tensor

    def __init__(self, *, choose: str = "argmax", tau: float = 1.0, hard: bool = True) -> None:
        super().__init__(choose)
        self.register_buffer("tau", torch.tensor(positive("tau", tau)))
        self.hard = hard

    def drawn(
        self, scores: Float[Tensor, "b t n"], hidden: Bool[Tensor, "b _ n"] | None
    ) -> Float[Tensor, "b t n"]:
        """Return draws with the slope of relaxed ones."""
        return relaxed(scores, self.tau, hidden, hard=self.hard)


class MarginalChoice(Choice):
    """Sum the probability of each word over all places that could be read: exact, nothing is drawn.

    p(y) = sum_j a_j p(y | s, h_j): Wu, Shapiro, Cotterell. Hard Non-Monotonic Attention for Character-Level
    Transduction. EMNLP 2018. arXiv:1808.10024. The best k places alone: Shankar, Garg, Sarawagi. EMNLP 2018.
    Each place costs a softmax over the vocabulary.

    Args:
        choose: What is read at inference; "marginal" sums as in training.
        places: How many of the most probable places are summed over; None for all.

    Raises:
        OptionError: ``choose`` is unknown, or ``places`` is not a positive whole number.
    """

    sums = True

    def __init__(self, *, choose: str = "argmax", places: int | None = None) -> None:
        super().__init__(choose, (*CHOICES, "marginal"))
        self.places = None if places is None else whole("places", places)

    @property
    def summing(self) -> bool:
        """Whether the words' probabilities are summed now."""
        return self.training or self.choose == "marginal"

    def drawn(
        self, scores: Float[Tensor, "b t n"], hidden: Bool[Tensor, "b _ n"] | None
    ) -> Float[Tensor, "b t n"]:
        """Return the probabilities, by which the sum is weighed."""
        return masked_softmax(scores, hidden)


class MonotonicChoice(Choice):
    """Stop at a place with probability sigmoid(score + offset), going forward from the last place.

    Raffel et al. ICML 2017. arXiv:1704.00784.

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
            before = hard_stops(energy, before) if hard else expected_stops(energy, before)
            rows.append(before)
        return torch.stack(rows, dim=1)
