"""From a condition (a class, a pose, a sentence) to the features that steer generator and discriminator.

A class steers by a row of its own, as published. A pose, or what of it depends on the class, goes through two
small layers first; the rows are beside them, as classes are learnt much later through these layers alone. A
sentence is read by a recurrent network, whose last state goes through the same layers.

Paper   sentences as conditions, read by a network of each side's own: Reed et al. Generative Adversarial Text
        to Image Synthesis. ICML 2016. arXiv:1605.05396 (theirs was trained beforehand).
Shapes  condition (B, K + P + T): how much of each of K classes, usually 1 for one and 0 for the others, P
        numbers of the pose, sine and cosine for an angle, and the numbers of T words, filled up with 0 ->
        (B, K + 64), or itself where there is neither pose nor sentence.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import ShapeError
from foveate.models.generation.spectral_norm import SpectralLinear
from foveate.models.question.goal_encoder import GoalEncoder

WIDTH = 64  # features of a condition with a pose or a sentence
_EMBEDDING = 32  # of a word


@dataclass(frozen=True)
class Goal:
    """What a generator is asked for.

    Args:
        classes: K; 0 for pictures without classes.
        pose: P, numbers of a pose; 0 for none.
        words: V, words that sentences are made of, padding (0) included; 0 for no sentences.
        longest: T, words of the longest sentence.
    """

    classes: int = 0
    pose: int = 0
    words: int = 0
    longest: int = 0

    @property
    def length(self) -> int:
        """Length of a condition; 0 if pictures are drawn without one."""
        return self.classes + self.pose + self.longest

    @property
    def width(self) -> int:
        """Features of class, pose and sentence, where there is a pose or a sentence; 0 elsewhere."""
        return WIDTH if self.pose or self.words else 0

    def expect(self, condition: Tensor | None, items: int) -> None:
        """Raise unless a condition is of this kind, one row an item.

        Raises:
            ShapeError: It is not.
        """
        if not self.length:
            if condition is not None and condition.numel():
                raise ShapeError(
                    f"condition: got {tuple(condition.shape)}, but this model draws without. Leave it out."
                )
            return
        expected = (items, self.length)
        if condition is None or tuple(condition.shape) != expected:
            got = None if condition is None else tuple(condition.shape)
            raise ShapeError(
                f"condition: got {got}, expected {expected}: {self.classes} classes, 1 for the one that is "
                f"asked for, {self.pose} numbers of the pose, and the numbers of {self.longest} words."
            )


class ConditionNet(nn.Module):
    """Put features of what is asked for behind the classes; with classes alone, return the condition.

    Args:
        goal: What is asked for.
        rule: Of spectral normalisation, in the discriminator; None for the generator's plain layers.
    """

    def __init__(self, goal: Goal, rule: str | None = None) -> None:
        super().__init__()
        self.classes, self.numbers = goal.classes, goal.classes + goal.pose
        self.layers: nn.Sequential | None = None
        self.sentence: GoalEncoder | None = None
        if goal.words:
            self.sentence = GoalEncoder("gru", goal.words, embedding=_EMBEDDING, state=WIDTH)
        if goal.width:
            sizes = ((self.numbers + (WIDTH if goal.words else 0), WIDTH), (WIDTH, WIDTH))
            first, second = (
                nn.Linear(*pair) if rule is None else SpectralLinear(*pair, rule=rule) for pair in sizes
            )
            self.layers = nn.Sequential(first, nn.ReLU(), second)

    def forward(self, condition: Float[Tensor, "b k"]) -> Float[Tensor, "b w"]:
        """Return what steers."""
        if self.layers is None:
            return condition
        asked = condition[:, : self.numbers]
        if self.sentence is not None:
            asked = torch.cat([asked, self.sentence(condition[:, self.numbers :].long())], dim=1)
        return torch.cat([condition[:, : self.classes], self.layers(asked)], dim=1)
