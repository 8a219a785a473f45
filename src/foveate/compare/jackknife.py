"""Pseudo-values let metrics that are no average (mIoU, BLEU, FID, AUROC) enter the same statistics."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from foveate.tasks.base import Task


def item_scores(task: Task, records: np.ndarray) -> np.ndarray:
    """Return one score an item (N,) whose mean is the task's metric over all items.

    Where the metric is an average they are the records themselves. Otherwise they are pseudo-values, shifted
    by the jackknife's correction of bias so that what a report calls the metric stays the metric.
    """
    if task.metric.averages:
        return records
    return _centred(lambda kept: task.value(records[kept]), len(records))


def class_scores(task: Task, records: np.ndarray) -> np.ndarray | None:
    """Return one score an item for each class (N, K); NaN in all of a class that the metric does not know.

    None where the task has no metric of a class over all items.
    """
    if task.by_class(records) is None:
        return None

    def of_class(kept: np.ndarray) -> np.ndarray:
        return np.asarray(task.by_class(records[kept]), dtype=np.float64)

    return _centred(of_class, len(records))


def _centred(metric: Callable[[np.ndarray], float | np.ndarray], items: int) -> np.ndarray:
    """Return pseudo-values whose mean is the metric; of one item, the metric itself."""
    whole = metric(np.arange(items))
    if items < 2:
        return np.array([whole], dtype=np.float64)
    found = pseudo_values(metric, items)
    return found - found.mean(axis=0) + whole


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
    return count * whole - (count - 1) * without
