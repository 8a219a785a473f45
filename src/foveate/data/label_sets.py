"""Several labels per image: from words and columns to 0 and 1, and to strata for splitting.

Shapes  truths int64 (N, K): 1 where label k holds for item n, else 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int64

SEPARATOR = "|"
_NONE = "no finding"  # how public X-ray data sets write that there is none
_TRUE, _FALSE = ("1", "1.0", "true"), ("0", "0.0", "false")

Truths = Int64[np.ndarray, "n k"]


def parted(labels: Sequence[str], separator: str | None) -> list[tuple[str, ...]] | None:
    """Return the labels in each text; None if every text is a single label.

    Args:
        labels: One text an item.
        separator: What separates labels. None: ``SEPARATOR`` if it occurs and no part is empty; "":
            nothing.
    """
    if separator == "" or (separator is None and not any(SEPARATOR in label for label in labels)):
        return None
    parts = [tuple(part.strip() for part in label.split(separator or SEPARATOR)) for label in labels]
    if separator is None and not all(all(some) for some in parts):
        return None
    return [tuple(dict.fromkeys(part for part in some if part)) for some in parts]


def without_none(labels: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the labels without the one that means none, unless it occurs beside another."""
    found = {label for some in labels for label in some if label.lower() == _NONE}
    if any(len(some) > 1 and found & set(some) for some in labels):
        return list(labels)
    return [tuple(label for label in some if label not in found) for some in labels]


def truth_of(cell: str) -> int | None:
    """Return 1 or 0 for a cell of a label's column; None if it is something else."""
    word = cell.lower()
    return 1 if word in _TRUE else 0 if word in _FALSE else None


def held(rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the labels of each row of a table with a column of 0 and 1 for each label."""
    return [tuple(name for name in columns if truth_of(row[name]) == 1) for row in rows]


def as_truths(labels: Sequence[tuple[str, ...]], classes: Sequence[str]) -> Truths:
    """Return 1 where a class is among the labels of an item, else 0."""
    number = {label: place for place, label in enumerate(classes)}
    truths = np.zeros((len(labels), len(classes)), dtype=np.int64)
    for item, some in enumerate(labels):
        truths[item, [number[label] for label in some]] = 1
    return truths


def strata(targets: Int64[np.ndarray, "n ..."]) -> Int64[np.ndarray, " n"]:
    """Return the stratum of each item: its class, or the rarest of its labels (K if it has none)."""
    if targets.ndim == 1:
        return targets
    order = np.argsort(targets.sum(axis=0), kind="stable")
    some = targets.any(axis=1)
    rarest = order[targets[:, order].argmax(axis=1)] if targets.shape[1] else np.zeros(len(targets), np.int64)
    return np.where(some, rarest, targets.shape[1])
