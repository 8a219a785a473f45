"""Draws from the distribution over a memory's entries, as the weights by which the memory is read."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from foveate.mechanisms.reading.scores import masked_softmax

CHOICES = ("argmax", "sample", "expectation")


def masked_logs(scores: Tensor, hidden: Tensor | None) -> Tensor:
    """Return the logarithms of the probabilities, and 0 where they are 0 by the mask."""
    if hidden is None:
        return scores.log_softmax(dim=2)
    lowest = torch.finfo(scores.dtype).min
    return scores.masked_fill(hidden, lowest).log_softmax(dim=2).masked_fill(hidden, 0.0)


def at_inference(
    choose: str, probabilities: Tensor, hidden: Tensor | None, generator: torch.Generator | None
) -> Float[Tensor, "b t n"]:
    """Return the weights by argmax, sample or expectation."""
    if choose == "expectation":
        return probabilities
    if choose == "sample":
        return sampled(probabilities, hidden, generator)
    return one_hot(probabilities.argmax(dim=2), probabilities, hidden)


def sampled(
    probabilities: Float[Tensor, "b t n"], hidden: Tensor | None, generator: torch.Generator | None
) -> Float[Tensor, "b t n"]:
    """Return one entry of each row as 0 and 1, drawn with the probabilities.

    An exponential race: the smallest of draws from Exp(p_j) is entry j with probability p_j.
    """
    waits = torch.empty_like(probabilities.detach()).exponential_(generator=generator)
    return one_hot((probabilities.detach() / waits).argmax(dim=2), probabilities, hidden)


def one_hot(index: Tensor, like: Float[Tensor, "b t n"], hidden: Tensor | None) -> Float[Tensor, "b t n"]:
    """Return 1 at ``index`` (B, T) and 0 elsewhere; where that is hidden, nothing can be chosen."""
    chosen = torch.arange(like.shape[2], device=like.device) == index.unsqueeze(2)
    return (chosen if hidden is None else chosen & ~hidden).to(like.dtype)


def drawn(
    probabilities: Float[Tensor, "b t n"],
    hidden: Tensor | None,
    soft_share: float,
    coin: str = "image",
    generator: torch.Generator | None = None,
) -> Float[Tensor, "b t n"]:
    """Return draws as 0 and a single 1; with probability ``soft_share`` the probabilities themselves.

    ``coin`` says whether that is decided for each "image" or once for the "batch".
    """
    coins = probabilities.new_empty(probabilities.shape[0] if coin == "image" else 1, 1, 1)
    soft = coins.uniform_(generator=generator) < soft_share
    return torch.where(soft, probabilities, sampled(probabilities, hidden, generator))


def relaxed(
    scores: Float[Tensor, "b t n"],
    tau: Float[Tensor, ""],
    hidden: Tensor | None,
    *,
    hard: bool = True,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "b t n"]:
    """Return draws with the probabilities that are the softmax of the scores, and the slope of relaxed ones.

    With ``hard`` a draw is 0 and a single 1, else the softmax at temperature ``tau`` that gives the slope.
    """
    noise = -torch.empty_like(scores.detach()).exponential_(generator=generator).log()
    soft = masked_softmax((scores + noise) / tau, hidden)
    if not hard:
        return soft
    # Added to exact zeros, not 1 - y + y, which is not always 1.
    return one_hot(soft.argmax(dim=2), soft, hidden) + (soft - soft.detach())
