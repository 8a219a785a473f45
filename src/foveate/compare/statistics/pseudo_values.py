"""Pseudo-values let metrics that are no average (mIoU, BLEU, FID, AUROC) enter the same statistics."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from foveate.errors import StudyError
from foveate.tasks.base import Task


def item_scores(task: Task, records: np.ndarray) -> np.ndarray:
    """Return one score an item (N,) whose mean is the task's metric over all items.

    Where the records are the items' scores they are it. Otherwise they are pseudo-values, shifted by the
    jackknife's correction of bias so that what a report calls the metric stays the metric; those of a metric
    that is an average are the items' own scores. Where an item is the only one that the metric speaks of,
    nothing is left without it. That counts as 0: the score rests on this item, which makes its pseudo-value
    great and the interval as wide as it should be.

    Raises:
        StudyError: The metric says nothing about these items.
    """
    if task.metric.averages and records.ndim == 1:
        return records
    whole = task.value(records)
    if np.isnan(whole):
        raise StudyError(
            f"{task.metric.name} says nothing about these {len(records)} test items: what it measures is not "
            "in them. Check the test data, or judge by another metric in another folder."
        )
    return _centred(np.asarray(whole), lambda: np.nan_to_num(task.value_without_each(records)), len(records))


def class_scores(task: Task, records: np.ndarray) -> np.ndarray | None:
    """Return one score an item for each class (N, K); NaN where one item alone, or none, speaks of the class.

    None where the task does not have a metric of a class over all items.
    """
    whole = task.by_class(records)
    if whole is None:
        return None

    def without_each() -> np.ndarray:
        found = task.by_class_without_each(records)
        assert found is not None
        return found

    return _centred(np.asarray(whole, dtype=np.float64), without_each, len(records))


def _centred(whole: np.ndarray, without_each: Callable[[], np.ndarray], items: int) -> np.ndarray:
    """Return pseudo-values whose mean is the metric; of one item, the metric itself."""
    if items < 2:
        return whole[None]
    found = from_left_out(whole, without_each())
    return found - found.mean(axis=0) + whole


def from_left_out(whole: float | np.ndarray, without: np.ndarray) -> np.ndarray:
    """Return pseudo-values from the metric over all G groups and over all but each in turn (G, ...)."""
    return len(without) * whole - (len(without) - 1) * without


def pseudo_values(
    metric: Callable[[np.ndarray], float | np.ndarray], items: int, groups: int | None = None
) -> np.ndarray:
    """Return one pseudo-value a group: what the group adds to the metric, scaled like the metric itself.

    With G groups and the metric t: G t(all) - (G - 1) t(all but the group). Their mean is the metric,
    corrected for bias; for a metric that is an average and groups of one item they are the items' own scores.
    Two runs must use the same groups, which they do: item i belongs to group i mod G.

    Args:
        metric: Takes the indices of the items to keep and returns the metric over them; several if an array.
        items: How many items there are.
        groups: How many groups to delete in turn; each item its own by default.

    Raises:
        ValueError: Fewer than two groups, or more groups than items.
    """
    count = items if groups is None else groups
    if not 2 <= count <= items:
        raise ValueError(f"pseudo_values: got {count} groups of {items} items, expected 2 to {items} groups")
    every = np.arange(items)
    whole = metric(every)
    without = np.array([metric(every[every % count != group]) for group in range(count)])
    return from_left_out(whole, without)
