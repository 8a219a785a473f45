"""The history of a run, epoch by epoch."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from foveate.typed import AnyFloat


class Epoch(TypedDict):
    """One line of the history.

    ``val_score`` is the mean score in [0, 1], None without a validation split; ``lr`` the learning rate of
    the epoch's last step; ``openings`` how far the gate of each inserted mechanism has opened, by its site;
    ``losses`` the mean loss of each part, where several are trained in turns.
    """

    epoch: int
    train_loss: float
    val_score: AnyFloat | None
    lr: float
    seconds: float
    openings: dict[str, float]
    losses: NotRequired[dict[str, float]]
