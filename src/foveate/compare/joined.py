"""One run out of several trainings: their answers in the order of the items, and the mean of their histories.

Each training of a cross-validation answers the items of one fold; together they answer every item once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int64

from foveate.tasks.judged import Answers
from foveate.train.evaluate import joined
from foveate.train.history import Epoch

Items = Int64[np.ndarray, " n"]


def in_order(items: Sequence[Items], answered: Sequence[Answers]) -> Answers:
    """Return what several trainings said about their items in the order of all items.

    Args:
        items: The numbers of each training's items.
        answered: What it said about them: an array of arrays, or a list.
    """
    return of_items(joined(answered), np.argsort(np.concatenate(items), kind="stable"))


def of_items(answers: Answers, items: Items) -> Answers:
    """Return the answers to some of the items."""
    return answers[items] if isinstance(answers, np.ndarray) else [answers[item] for item in items.tolist()]


def mean_history(histories: Sequence[Sequence[Epoch]]) -> list[Epoch]:
    """Return the history of several trainings as one: of every epoch the mean figures, and the time of all.

    Args:
        histories: Of each training; where one has fewer epochs, the others' further ones are left out.
    """
    if len(histories) == 1:
        return list(histories[0])
    return [_mean_epoch(epochs) for epochs in zip(*histories, strict=False)]


def mean_score(scores: Sequence[float | None]) -> float | None:
    """Return the mean of validation scores; None if there are none."""
    known = [score for score in scores if score is not None]
    return float(np.mean(known)) if len(known) == len(scores) else None


def _mean_epoch(epochs: Sequence[Epoch]) -> Epoch:
    first = epochs[0]
    found = Epoch(
        epoch=first["epoch"],
        train_loss=float(np.mean([epoch["train_loss"] for epoch in epochs])),
        val_score=mean_score([epoch["val_score"] for epoch in epochs]),
        lr=first["lr"],
        seconds=sum(epoch["seconds"] for epoch in epochs),
        openings=_means([epoch["openings"] for epoch in epochs]),
    )
    if "losses" in first:
        found["losses"] = _means([epoch["losses"] for epoch in epochs])
    return found


def _means(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([each[name] for each in figures])) for name in figures[0]}
