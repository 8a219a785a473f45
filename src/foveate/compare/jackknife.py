"""Pseudo-values let metrics that are no average (mIoU, BLEU, FID, AUROC) enter the same statistics."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def pseudo_values(metric: Callable[[np.ndarray], float], items: int, groups: int | None = None) -> np.ndarray:
    """Return one pseudo-value a group: what the group adds to the metric, scaled like the metric itself.

    With G groups and the metric t: G t(all) - (G - 1) t(all but the group). Their mean is the metric,
    corrected for bias; for a metric that is an average and groups of one item they are the items' own scores.
    Two runs must use the same groups, which they do: item i belongs to group i mod G.

    Args:
        metric: Takes the indices of the items to keep and returns the metric over them.
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
