"""Rank correlation of maps, picture by picture.

Formula Pearson's correlation of the ranks, ties having their mean rank; NaN for a constant map.
Paper   Spearman. American Journal of Psychology 1904.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64
from scipy.stats import rankdata
from torch import Tensor


def spearman(first: Float[Tensor, "b h w"], second: Float[Tensor, "b h w"]) -> Float64[np.ndarray, " b"]:
    """Return the rank correlation of two maps of each picture, in [-1, 1]."""
    return pearson(*(rankdata(m.flatten(1).double().cpu().numpy(), axis=1) for m in (first, second)))


def pearson(
    first: Float64[np.ndarray, "b n"], second: Float64[np.ndarray, "b n"]
) -> Float64[np.ndarray, " b"]:
    """Return the correlation of two rows of numbers for each picture; NaN where one does not vary."""
    x, y = (rows - rows.mean(axis=1, keepdims=True) for rows in (first, second))
    with np.errstate(invalid="ignore", divide="ignore"):
        return (x * y).sum(axis=1) / np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
