"""How well findings are detected: the area under the ROC curve, sensitivity and specificity.

Shapes  probabilities (N, K) of K findings in N items; truths (N, K), 1 where a finding is there, else 0.
Rules   each finding is judged by itself; the score of one that is in no item or in all is undefined (nan); a
        mean is over the others, nan if there are none.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Shaped
from scipy.stats import rankdata

from foveate.errors import ShapeError

Scores = Float64[np.ndarray, " k"]
Values = Shaped[np.ndarray, "n k"]


def auroc(probabilities: Values, truths: Values) -> Scores:
    """Return the area under the ROC curve of each finding, in [0, 1].

    It is the probability that an item with the finding is ranked above one without it; a tie counts half.

    Example:
        >>> auroc(np.array([[0.9], [0.8], [0.3], [0.3]]), np.array([[1], [0], [1], [0]]))
        array([0.625])
    """
    there, absent = _counts(probabilities, truths)
    ranks = rankdata(probabilities, axis=0)
    above = (ranks * (truths == 1)).sum(axis=0) - there * (there + 1) / 2
    return _ratio(above, there * absent)


def auroc_without_each(probabilities: Values, truths: Values) -> Float64[np.ndarray, "n k"]:
    """Return the area of each finding over all items but one, for each item in turn; nan as above.

    An item contributes its rank among all items minus that among its own kind to the correctly ranked pairs,
    so that a few sorts replace one per item: O(N log N).

    Example:
        >>> auroc_without_each(np.array([[0.9], [0.8], [0.3], [0.1]]), np.array([[1], [0], [1], [0]]))[:, 0]
        array([0.5, 1. , 1. , 0.5])
    """
    there, absent = _counts(probabilities, truths)
    yes = truths == 1
    below = rankdata(probabilities, axis=0)  # how many of the other kind rank below, ties counted half
    for k in range(yes.shape[1]):
        for kind in (yes[:, k], ~yes[:, k]):
            below[kind, k] -= rankdata(probabilities[kind, k])
    added = np.where(yes, below, there - below)
    right = np.where(yes, below, 0).sum(axis=0)
    return _ratio(right - added, np.where(yes, (there - 1) * absent, there * (absent - 1)))


def sensitivity_at(probabilities: Values, truths: Values, specificity: float = 0.9) -> Scores:
    """Return the greatest sensitivity of each finding at a threshold that has at least this specificity.

    Args:
        probabilities: Or any score: only the order matters.
        truths: Which findings are present.
        specificity: Share of the items without the finding that must be classified correctly, in [0, 1].

    Example:
        >>> sensitivity_at(np.array([[0.9], [0.8], [0.3], [0.1]]), np.array([[1], [0], [1], [0]]), 0.5)
        array([1.])
    """
    there, absent = _counts(probabilities, truths)
    found = np.full(there.shape, np.nan)
    for k in np.flatnonzero((there > 0) & (absent > 0)):
        yes, no = probabilities[truths[:, k] == 1, k], np.sort(probabilities[truths[:, k] != 1, k])[::-1]
        wrong = int((1 - specificity) * absent[k] + 1e-9)  # this many false positives are allowed
        found[k] = 1.0 if wrong >= len(no) else (yes > no[wrong]).mean()
    return found


def sensitivity(probabilities: Values, truths: Values, threshold: float = 0.5) -> Scores:
    """Return the share of the items with each finding whose probability is above the threshold."""
    there, absent = _counts(probabilities, truths)
    found = ((probabilities > threshold) & (truths == 1)).sum(axis=0)
    return np.where(absent > 0, _ratio(found, there), np.nan)


def specificity(probabilities: Values, truths: Values, threshold: float = 0.5) -> Scores:
    """Return the share of the items without each finding whose probability is not above the threshold."""
    there, absent = _counts(probabilities, truths)
    found = ((probabilities <= threshold) & (truths != 1)).sum(axis=0)
    return np.where(there > 0, _ratio(found, absent), np.nan)


def mean_present(scores: Scores) -> float:
    """Return the mean of the scores that are not nan; nan if there are none.

    Example:
        >>> mean_present(np.array([0.5, np.nan, 1.0]))
        0.75
    """
    present = scores[~np.isnan(scores)]
    return float(present.mean()) if len(present) else float("nan")


def _counts(probabilities: Values, truths: Values) -> tuple[Scores, Scores]:
    """Return the number of items with each finding, and without it."""
    if probabilities.ndim != 2 or probabilities.shape != truths.shape:
        raise ShapeError(
            f"got probabilities of shape {probabilities.shape} and truths of {truths.shape}, expected both "
            "(items, findings). Give a single finding as one column, x[:, None]."
        )
    there = (truths == 1).sum(axis=0).astype(np.float64)
    return there, len(truths) - there


def _ratio(
    part: Shaped[np.ndarray, "*n k"], whole: Shaped[np.ndarray, "*n k"]
) -> Float64[np.ndarray, "*n k"]:
    """Return ``part / whole``, and nan where ``whole`` is 0."""
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
