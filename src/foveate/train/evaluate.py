"""Scores and predictions of a model, item by item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from foveate.data.batches import Batch, eval_batches
from foveate.data.cache import CachedSplit
from foveate.running import device_of, eval_mode
from foveate.tasks.base import Task

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Evaluation:
    """What a model says about every item of a split, in the split's order.

    Args:
        score: The task's metric over all items, in its own unit.
        records: What the metric of any of the items follows from (N, ...).
        answers: What is kept of the outputs: probabilities (N, K) float32, or labels (N, H, W) uint8.
        loss: Mean loss an item.
    """

    score: float
    records: np.ndarray
    answers: np.ndarray
    loss: float


def evaluate(
    model: nn.Module,
    task: Task,
    split: CachedSplit,
    *,
    batch_size: int = 256,
    mean: Triple = (0.5, 0.5, 0.5),
    std: Triple = (0.5, 0.5, 0.5),
    size: int | None = None,
) -> Evaluation:
    """Run the model over a split, in evaluation mode, which it leaves as it found it.

    Args:
        model: Any model on any device.
        task: What its outputs mean.
        split: The images and what is true of them.
        batch_size: Images in one forward pass.
        mean: What is subtracted from each channel of images in [0, 1].
        std: What each channel is then divided by.
        size: Side of the images in pixels; None leaves them as they are stored.
    """
    device = device_of(model)
    records, answers, losses = [], [], []
    with eval_mode(model), torch.no_grad():
        for stored in eval_batches(split, batch_size=batch_size, size=size, mean=mean, std=std):
            batch = to_device(stored, device)
            outputs = task.forward(model, batch)
            records.append(task.record(outputs, batch))
            answers.append(task.answer(outputs).cpu().numpy())
            losses.append(task.loss(outputs, batch) * len(batch))
    joined = torch.cat(records).double().cpu().numpy()
    return Evaluation(
        score=task.value(joined),
        records=joined,
        answers=np.concatenate(answers),
        loss=float(torch.stack(losses).sum()) / len(joined),
    )


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Return the batch on ``device``, itself if it is there."""
    if batch.images.device == device:
        return batch
    images, targets = (t.to(device, non_blocking=True) for t in (batch.images, batch.targets))
    return Batch(images=images, targets=targets, indices=batch.indices)
