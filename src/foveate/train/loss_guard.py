"""Stop a run early, and say where, once its loss is not finite.

Reading a number from a GPU makes the host wait for it. So the loss is summed up on the device, with the first
bad step beside it, and both are read only now and then.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from foveate.errors import TrainingError

EVERY = 25  # steps between two looks on a device that computes beside the host


class LossGuard:
    """The sum of the losses, and the first step whose loss or gradient was not finite.

    Args:
        rate: The learning rate of every step, for the message.
        device: Where the losses are.
        total: Sum so far, when a run is continued in the middle of an epoch.
    """

    def __init__(self, rate: Callable[[int], float], device: torch.device, total: float = 0.0) -> None:
        self.rate = rate
        self._every = 1 if device.type == "cpu" else EVERY
        self._total = torch.tensor(total, device=device)
        self._first = torch.tensor(-1, device=device)

    def add(self, step: int, loss: Tensor, norm: Tensor | None) -> None:
        """Take in the loss of a step (0-based) and the length of its gradient, if it is known."""
        self._total += loss
        value = loss if norm is None else loss + norm
        self._first = torch.where((self._first < 0) & ~value.isfinite(), step, self._first)
        if step % self._every == 0:
            self.look()

    def look(self) -> float:
        """Return the sum of the losses.

        Raises:
            TrainingError: A loss or gradient was not a finite number.
        """
        first = int(self._first)
        if first >= 0:
            raise TrainingError(
                f"step {first + 1}: the loss or its gradient is not a finite number (learning rate "
                f"{self.rate(first):.3g}). Try a learning rate ten times smaller, a longer warm-up "
                "(warmup=0.1), "
                'clip=1.0 or precision="32-true"; and look for broken images and labels with: '
                "foveate check DATA"
            )
        return float(self._total)

    def restart(self) -> None:
        """Begin a new sum."""
        self._total.zero_()
