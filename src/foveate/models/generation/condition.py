"""From a condition (a class, a pose) to the features that steer generator and discriminator.

Shapes  condition (B, K + P): how much of each of K classes, usually 1 for one and 0 for the others, and P
        numbers of the pose, sine and cosine for an angle -> (B, 64), or itself where there is no pose.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    def table(self) -> int:
        """Rows of a table of classes, where that is all there is; 0 elsewhere."""
        return 0 if self.pose else self.classes

    @property
    def width(self) -> int:
        """Features of a condition that has a pose; 0 elsewhere."""
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


def condition_net(goal: Goal, rule: str | None = None) -> nn.Module:
    """Return two linear layers with a ReLU between them, for a goal with a pose; else the identity.

    Args:
        goal: What is asked for.
        rule: Of spectral normalisation, in the discriminator; None for the generator's plain layers.
    """
    if not goal.pose:
        return nn.Identity()
    sizes = ((goal.length, WIDTH), (WIDTH, WIDTH))
    first, second = (nn.Linear(*pair) if rule is None else SpectralLinear(*pair, rule=rule) for pair in sizes)
    return nn.Sequential(first, nn.ReLU(), second)
