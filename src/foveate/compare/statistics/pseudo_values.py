"""Pseudo-values let metrics that are not an average (mIoU, BLEU, FID, AUROC) enter the same statistics.

With G groups of items and the metric t, the pseudo-value of a group is G t(all) - (G - 1) t(all but it): what
the group adds to the metric, on the metric's own scale. Their mean is the metric, corrected for bias; for a
metric that is an average, with each item its own group, they are the items' scores. Item i belongs to group
i mod G, so that all runs on the same test items have the same groups.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Shaped

from foveate.errors import StudyError
from foveate.tasks.base import Task

Metric = Callable[[np.ndarray], float | np.ndarray]


def item_scores(task: Task, records: Shaped[np.ndarray, "n ..."]) -> Float[np.ndarray, " g"]:
    """Return one score per item, or per group of items, whose mean is the task's metric over all items.

    If the records are the items' scores, those are returned; otherwise pseudo-values, shifted so that their
    mean is the metric itself. If the metric of the remaining items is undefined, as where one item is the
    only one of its class, it counts as 0: the score rests on this item, so its pseudo-value is large and the
    interval wide.

    Args:
        task: Its metric says how many groups there are; each item is its own group by default.
        records: What the task kept of each item.

    Raises:
        StudyError: The metric is undefined on these items.
    """
    groups = _groups(task, len(records))
    if task.metric.averages and records.ndim == 1 and groups is None:
        return records
    whole = task.value(records)
    if np.isnan(whole):
        raise StudyError(
            f"{task.metric.name} is undefined on these {len(records)} test items: they lack what it "
            "measures. Check the test data, or judge by another metric in another folder."
        )

    def without_each() -> np.ndarray:
        if groups is None:
            return task.value_without_each(records)
        return left_out(lambda kept: task.value(records[kept]), len(records), groups)

    return _centred(np.asarray(whole), lambda: np.nan_to_num(without_each()), len(records))


def class_scores(task: Task, records: Shaped[np.ndarray, "n ..."]) -> Float[np.ndarray, "g k"] | None:
    """Return one score for each class and item, or group of items.

    NaN where the metric of a class is undefined without the item; None if the task does not have a metric of
    each class over all items.
    """
    whole, groups = task.by_class(records), _groups(task, len(records))
    if whole is None:
        return None

    def of_classes(kept: np.ndarray) -> np.ndarray:
        found = task.by_class(records[kept])
        assert found is not None
        return found

    def without_each() -> np.ndarray:
        found = task.by_class_without_each(records) if groups is None else None
        return left_out(of_classes, len(records), groups) if found is None else found

    return _centred(np.asarray(whole, dtype=np.float64), without_each, len(records))


def pseudo_values(metric: Metric, items: int, groups: int | None = None) -> np.ndarray:
    """Return one pseudo-value a group (G, ...).

    Args:
        metric: Takes the indices of the items to keep and returns the metric over them; several if an array.
        items: How many items there are.
        groups: How many groups to leave out in turn; each item its own by default.

    Raises:
        ValueError: Fewer than two groups, or more groups than items.
    """
    return _from_left_out(metric(np.arange(items)), left_out(metric, items, groups))


def left_out(metric: Metric, items: int, groups: int | None = None) -> np.ndarray:
    """Return the metric over all items but each group in turn (G, ...); see ``pseudo_values``."""
    count = items if groups is None else groups
    if not 2 <= count <= items:
        raise ValueError(f"pseudo_values: got {count} groups of {items} items, expected 2 to {items} groups")
    every = np.arange(items)
    return np.array([metric(every[every % count != group]) for group in range(count)])


def _groups(task: Task, items: int) -> int | None:
    """Return how many groups the metric asks for, at most one per item; None if each item is its own."""
    groups: int | None = getattr(task.metric, "groups", None)
    return None if groups is None else min(groups, items)


def _centred(whole: np.ndarray, without_each: Callable[[], np.ndarray], items: int) -> np.ndarray:
    """Return pseudo-values whose mean is the metric; of one item, the metric itself."""
    if items < 2:
        return whole[None]
    found = _from_left_out(whole, without_each())
    return found - found.mean(axis=0) + whole


def _from_left_out(whole: float | np.ndarray, without: np.ndarray) -> np.ndarray:
    return len(without) * whole - (len(without) - 1) * without
