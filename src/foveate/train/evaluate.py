"""Scores and answers of a model, item by item."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from foveate.data.feed import Feed
from foveate.running import device_of, eval_mode
from foveate.tasks.base import Task
from foveate.tasks.judged import Answers


@dataclass(frozen=True)
class Evaluation:
    """What a model answers to every item of a feed, in the feed's order.

    Args:
        score: The task's metric over all items.
        records: What the metric of any of the items follows from (N, ...).
        answers: One per item, to look at.
        loss: Mean loss per item; NaN if the task has none for judging.
    """

    score: float
    records: np.ndarray
    answers: Answers
    loss: float


def evaluate(model: nn.Module, task: Task, feed: Feed, *, batch_size: int = 256) -> Evaluation:
    """Run the model over a feed in evaluation mode; its mode is restored afterwards.

    Args:
        model: Any model on any device.
        task: How it is judged.
        feed: The items.
        batch_size: Items in one forward pass.
    """
    device = device_of(model)
    records, answers, losses = [], [], []
    with eval_mode(model), torch.no_grad(), _seeded(device):
        for stored in feed.test(batch_size):
            batch = stored.to(device)
            judged = task.judge(model, batch)
            records.append(judged.records)
            answers.append(_on_cpu(judged.answers))
            losses.append(torch.tensor(torch.nan) if judged.loss is None else judged.loss * len(batch))
    kept = torch.cat(records).double().cpu().numpy()
    return Evaluation(
        score=task.value(kept),
        records=kept,
        answers=joined(answers),
        loss=float(torch.stack(losses).sum()) / len(kept),
    )


def _on_cpu(answers: Any) -> Any:
    """Return answers with arrays in place of tensors, in nested lists and mappings too."""
    if isinstance(answers, Tensor):
        return answers.cpu().numpy()
    if isinstance(answers, Mapping):
        return {name: _on_cpu(value) for name, value in answers.items()}
    return [_on_cpu(each) for each in answers] if isinstance(answers, list | tuple) else answers


def joined(answers: Sequence[Answers]) -> Answers:
    """Return the answers of several batches: an array of arrays, a list of anything else."""
    arrays = [part for part in answers if isinstance(part, np.ndarray)]
    if len(arrays) == len(answers) and len({array.shape[1:] for array in arrays}) <= 1:
        return np.concatenate(arrays)
    return [answer for part in answers for answer in part]


@contextlib.contextmanager
def _seeded(device: torch.device) -> Iterator[None]:
    """Seed PyTorch alike for every evaluation, and restore the random state afterwards."""
    cards = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cards):
        torch.manual_seed(0)
        yield
