"""What a model is that answers by classes what a goal asks of a picture."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

from jaxtyping import Float, Int64
from torch import Tensor, nn

from foveate.errors import ShapeError
from foveate.options import whole

PAD = 0  # the number of the word that fills a batch up


class Answered(NamedTuple):
    """What a model found, and where it looked.

    Attributes:
        logits: (B, K), of the answers.
        weights: (B, M, N), M looks (glimpses, hops) over N places, each summing to 1; None where a model does
            not say.
    """

    logits: Float[Tensor, "b k"]
    weights: Float[Tensor, "b m n"] | None


class QuestionModel(nn.Module):
    """A model that takes pictures and goals.

    Args:
        classes: K, how many answers there are.

    Attributes:
        encoder: How it comes by the places of a picture; see ``Places``.
        looks: What each of the M rows of the weights is called, such as "hop 1".
    """

    encoder: nn.Module
    looks: tuple[str, ...] = ("look",)

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = whole("classes", classes)

    @abstractmethod
    def answer(self, pictures: Tensor, goal: Tensor, lengths: Int64[Tensor, " b"] | None = None) -> Answered:
        """Return the logits and where they come from; see ``forward``."""

    def forward(
        self, pictures: Tensor, goal: Tensor, lengths: Int64[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b k"]:
        """Return the logits of the answers.

        Args:
            pictures: Features (B, N, D), or normalised pictures (B, 3, H, W) where there is an encoder.
            goal: Word numbers (B, T), filled up with 0; or what else the model says that it takes.
            lengths: Words of each question, where they do not follow from the 0s behind it.
        """
        return self.answer(pictures, goal, lengths).logits


def word_lengths(words: Int64[Tensor, "b t"], pad: int = PAD) -> Int64[Tensor, " b"]:
    """Return how many words each question has: up to its last one that is not padding, at least 1.

    Raises:
        ShapeError: These are not numbers of words.
    """
    if words.ndim != 2 or words.is_floating_point() or words.shape[1] < 1:
        raise ShapeError(
            f"question: got a goal of shape {tuple(words.shape)} and {words.dtype}, expected numbers of "
            "words (B, T), int64, filled up with 0."
        )
    behind = (words != pad).flip(1).cumsum(dim=1) == 0
    return (words.shape[1] - behind.sum(dim=1)).clamp_min(1)
