"""Which class was taken for which, and how well each is recognised: for the report and for ``train``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

MOST_DRAWN = 30  # classes of a matrix that a page can show
CONFUSIONS = 20  # pairs of classes that are listed

Matrix = Int64[np.ndarray, "k k"]


def confusion_matrix(
    probabilities: Float[np.ndarray, "n q"], targets: Int64[np.ndarray, " n"], classes: int
) -> Matrix:
    """Count the items of each true class (row) that were given each class (column).

    Args:
        probabilities: What a model predicted for each item.
        targets: The true classes, in [0, classes).
        classes: K. An answer that is none of them counts for the last one: models may have more outputs.

    Example:
        >>> confusion_matrix(np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.array([0, 1, 1]), 2)
        array([[1, 0],
               [1, 1]])
    """
    given = np.minimum(probabilities.argmax(axis=1), classes - 1)
    return np.bincount(targets * classes + given, minlength=classes**2).reshape(classes, classes)


def figures_by_class(matrix: Matrix, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return items, precision, recall and F1 of each class, in percent; None where undefined."""
    right, given, true = matrix.diagonal(), matrix.sum(axis=0), matrix.sum(axis=1)
    return [
        {
            "class": name,
            "items": int(true[k]),
            "precision": _percent(right[k], given[k]),
            "recall": _percent(right[k], true[k]),
            "f1": _percent(2 * right[k], given[k] + true[k]),
        }
        for k, name in enumerate(classes)
    ]


def confusions(matrix: Matrix, classes: Sequence[str], most: int = CONFUSIONS) -> list[dict[str, Any]]:
    """Return the most frequent pairs of a true class and a wrong prediction."""
    wrong = matrix * (1 - np.eye(len(matrix), dtype=np.int64))
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = [np.unravel_index(cell, wrong.shape) for cell in order]
    return [
        {
            "true": classes[true],
            "given": classes[given],
            "items": int(wrong[true, given]),
            "share": _percent(int(wrong[true, given]), int(matrix[true].sum())),
        }
        for true, given in pairs
        if wrong[true, given]
    ]


def confusion_data(matrix: Matrix | None, classes: Sequence[str]) -> dict[str, Any] | None:
    """Return what a report shows of a matrix, summed over seeds; the matrix itself only of few classes."""
    if matrix is None:
        return None
    return {
        "matrix": matrix.tolist() if len(classes) <= MOST_DRAWN else None,
        "by_class": figures_by_class(matrix, classes),
        "pairs": confusions(matrix, classes),
    }


def _percent(part: int, whole: int) -> float | None:
    return 100 * float(part) / float(whole) if whole else None
