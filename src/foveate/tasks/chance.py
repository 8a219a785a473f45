"""The score of a model that ignores its input and predicts the class frequencies of the training data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from foveate.data.cached_split import CachedSplit

MOST = 256  # test images with masks that it is measured on
_BATCH = 8
_LARGE_BATCH = 4096  # where each image has labels


@dataclass(frozen=True)
class _Unseen:
    """A batch without images."""

    images: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)


class Recorded(Protocol):
    """A task, as far as it tells what a model scores that always gives the same answer."""

    def record(self, outputs: object, batch: Any) -> Tensor:
        """Return what is kept of each item."""
        ...

    def value(self, records: np.ndarray) -> float:
        """Return the metric."""
        ...


def chance_score(task: Recorded, splits: Mapping[str, CachedSplit], classes: int) -> float:
    """Return the metric of a model that gives every test item, or pixel, the shares of the training classes.

    Accuracy is then the share of the most frequent class, AUROC a half, balanced accuracy one over the number
    of classes, log loss the cross-entropy of the shares. nan where the metric has nothing to say.

    Args:
        task: The task.
        splits: ``train`` and ``test``. With masks the first ``MOST`` test images are taken.
        classes: How many classes there are.
    """
    logits = torch.from_numpy(np.log(_shares(splits["train"], classes))).float()
    truths = splits["test"].truth
    masked = splits["test"].masks is not None
    truths, batch = (truths[:MOST], _BATCH) if masked else (truths, _LARGE_BATCH)
    records = []
    for first in range(0, len(truths), batch):
        targets = torch.from_numpy(truths[first : first + batch].astype(np.int64))
        outputs = logits.view(1, -1, *(1,) * (targets.ndim - 1 if masked else 0))
        outputs = outputs.expand(len(targets), -1, *(targets.shape[1:] if masked else ()))
        records.append(task.record(outputs, _Unseen(torch.empty(0), targets)))
    return task.value(torch.cat(records).double().numpy())


def _shares(train: CachedSplit, classes: int) -> np.ndarray:
    """Return the share of each class among items, or pixels; a class that never occurs has almost none."""
    if train.masks is not None:
        counts = train.class_pixels[:classes]
    elif train.targets.ndim == 2:  # several findings an item
        counts = train.targets.sum(axis=0)
    else:
        counts = np.bincount(train.targets, minlength=classes)
    return np.maximum(counts / max(counts.sum(), 1), 1e-6)
