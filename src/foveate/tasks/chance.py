"""What a model scores that does not look: it always answers with how frequent the classes are in training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from foveate.compare.statistics.verdict import Terms
from foveate.data.cache import CachedSplit
from foveate.tasks.base import Metric, Task

MOST = 256  # test images with masks that it is measured on
_BATCH = 8
_LARGE_BATCH = 4096  # where each image has labels


@dataclass(frozen=True)
class _Unseen:
    """A batch of which nobody looks at the images."""

    images: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)


def chance_score(task: Task, splits: Mapping[str, CachedSplit], classes: int) -> float:
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


def beats(score: float, chance: float, metric: Metric) -> bool:
    """Return whether a score is better than another."""
    return score > chance if metric.higher_is_better else score < chance


def chance_sentence(scores: Mapping[str, Mapping[str, float | None]], chance: float, terms: Terms) -> str:
    """Say so if no variant is shown to do better than chance; else nothing.

    Args:
        scores: Of each variant ``mean`` and, if there is an interval, ``low`` and ``high``, in the unit.
        chance: What a model scores that does not look, in the unit.
        terms: The unit, and whether more is better.
    """
    sure = "low" if terms.higher_is_better else "high"
    worst = [entry["mean"] if entry[sure] is None else entry[sure] for entry in scores.values()]
    sign = 1 if terms.higher_is_better else -1
    if not math.isfinite(chance) or any(
        value is not None and sign * value > sign * chance for value in worst
    ):
        return ""
    return (
        "Nothing here is shown to be better than chance: always answering how frequent the classes are "
        f"scores {terms.amount(chance)}. Before reading differences, train for longer, or check labels and "
        "learning rate."
    )


def _shares(train: CachedSplit, classes: int) -> np.ndarray:
    """Return the share of each class among items, or pixels; a class that never comes has next to none."""
    if train.masks is not None:
        counts = train.class_pixels[:classes]
    elif train.targets.ndim == 2:  # several findings an item
        counts = train.targets.sum(axis=0)
    else:
        counts = np.bincount(train.targets, minlength=classes)
    return np.maximum(counts / max(counts.sum(), 1), 1e-6)
