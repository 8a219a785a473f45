"""From a condition (a class, a pose) to the features that steer generator and discriminator.

A class steers by a row of its own, as published. A pose, or what of it depends on the class, goes through two
small layers first; the rows are beside them, as classes are learnt much later through these layers alone.

Shapes  condition (B, K + P): how much of each of K classes, usually 1 for one and 0 for the others, and P
        numbers of the pose, sine and cosine for an angle -> (B, K + 64), or itself where there is no pose.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import ShapeError
from foveate.models.generation.spectral_norm import SpectralLinear

WIDTH = 64  # features of a condition with a pose


@dataclass(frozen=True)
class Goal:
    """What a generator is asked for.

    Args:
        classes: K; 0 for pictures without classes.
        pose: P, numbers of a pose; 0 for none.
    """

    classes: int = 0
    pose: int = 0

    @property
    def length(self) -> int:
        """Length of a condition; 0 if pictures are drawn without one."""
        return self.classes + self.pose

    @property
    def width(self) -> int:
        """Features of class and pose, where there is a pose; 0 elsewhere."""
        return WIDTH if self.pose else 0

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
                f"asked for, and {self.pose} numbers of the pose."
            )


class ConditionNet(nn.Module):
    """Put features of class and pose behind the classes; without a pose, return the condition as it is.

    Args:
        goal: What is asked for.
        rule: Of spectral normalisation, in the discriminator; None for the generator's plain layers.
    """

    def __init__(self, goal: Goal, rule: str | None = None) -> None:
        super().__init__()
        self.classes = goal.classes
        self.layers: nn.Sequential | None = None
        if goal.pose:
            sizes = ((goal.length, WIDTH), (WIDTH, WIDTH))
            first, second = (
                nn.Linear(*pair) if rule is None else SpectralLinear(*pair, rule=rule) for pair in sizes
            )
            self.layers = nn.Sequential(first, nn.ReLU(), second)

    def forward(self, condition: Float[Tensor, "b k"]) -> Float[Tensor, "b w"]:
        """Return what steers."""
        if self.layers is None:
            return condition
        return torch.cat([condition[:, : self.classes], self.layers(condition)], dim=1)
