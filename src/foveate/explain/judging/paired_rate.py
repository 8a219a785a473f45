"""An exact interval for the difference of two rates that were observed on the same pictures.

Of n pictures, b are hits of the first map only and c of the second only. An end of the interval is the
difference at which, whatever the share of pictures on which the maps differ, a table at least as extreme has
half of the error probability left. Extreme is measured by Tango's score; the unknown share is searched over
its own confidence interval, and what that may err is taken off (Berger and Boos).

Paper   Tango. Statistics in Medicine 1998 (the score); Chan, Zhang. Biometrics 1999 (exact intervals from a
        score); Berger, Boos. JASA 1994 (the search over the unknown share).
Differs from the papers: nothing but the grid over the unknown share.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64
from scipy.special import gammaln
from scipy.stats import beta

_GAMMA = 0.02  # of the error probability: spent on the unknown share
_SHARES = 12  # of the unknown share that are tried
_HALVINGS = 11
_FAR = 7.0  # standard deviations from what is expected: no table is looked at beyond


def exact_paired(first_only: int, second_only: int, count: int, level: float) -> tuple[float, float]:
    """Return the interval for the rate of the first minus that of the second.

    Args:
        first_only: Pictures on which the first hits and the second misses.
        second_only: The reverse.
        count: All pictures.
        level: Confidence, in (0, 1).
    """
    if count < 1:
        return float("nan"), float("nan")
    high = _upper(first_only, second_only, count, level)
    low = -_upper(second_only, first_only, count, level)
    return low, high


def exact_rate(hits: int, count: int, level: float) -> tuple[float, float]:
    """Return Clopper and Pearson's interval for one rate."""
    if count < 1:
        return float("nan"), float("nan")
    tail = (1 - level) / 2
    low = beta.ppf(tail, hits, count - hits + 1) if hits else 0.0
    high = beta.ppf(1 - tail, hits + 1, count - hits) if hits < count else 1.0
    return float(low), float(high)


def _upper(b: int, c: int, n: int, level: float) -> float:
    tail = (1 - level) / 2
    spent = tail * _GAMMA
    shares = np.linspace(*exact_rate(b + c, n, 1 - 2 * spent), _SHARES)
    low, high = (b - c) / n, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _as_low(b, c, n, middle, shares) + spent > tail:
            low = middle
        else:
            high = middle
    return high


def _as_low(b: int, c: int, n: int, difference: float, shares: Float64[np.ndarray, " s"]) -> float:
    """Return the largest probability of a score as low as this one, if the true difference is as stated."""
    observed = float(_score(np.array([b]), np.array([c]), n, difference)[0])
    worst = 0.0
    for share in np.maximum(shares, abs(difference)):
        p, q = (share + difference) / 2, (share - difference) / 2
        firsts, seconds = (_likely(rate, n) for rate in (p, q))
        x, y = np.meshgrid(firsts, seconds, indexing="ij")
        inside = x + y <= n
        x, y = x[inside], y[inside]
        low = _score(x, y, n, difference) <= observed + 1e-9
        worst = max(worst, float(_mass(x[low], y[low], n, p, q).sum()))
    return worst


def _likely(rate: float, n: int) -> Int64[np.ndarray, " m"]:
    spread = _FAR * np.sqrt(n * rate * (1 - rate)) + 2
    return np.arange(max(0, int(n * rate - spread)), min(n, int(n * rate + spread) + 1) + 1)


def _mass(
    x: Int64[np.ndarray, " m"], y: Int64[np.ndarray, " m"], n: int, p: float, q: float
) -> Float64[np.ndarray, " m"]:
    """Return the trinomial probability of each table."""
    rest, left = n - x - y, max(1 - p - q, 0.0)
    logs = gammaln(n + 1) - gammaln(x + 1) - gammaln(y + 1) - gammaln(rest + 1)
    for number, rate in ((x, p), (y, q), (rest, left)):
        logs = logs + np.where(number == 0, 0.0, number * np.log(max(rate, 1e-300)))
    return np.exp(logs)


def _score(
    x: Int64[np.ndarray, " m"], y: Int64[np.ndarray, " m"], n: int, difference: float
) -> Float64[np.ndarray, " m"]:
    """Return Tango's score of each table for this difference."""
    a, b, c = 2 * n, -x - y + (2 * n - x + y) * difference, -y * difference * (1 - difference)
    second = (np.sqrt(np.maximum(b**2 - 4 * a * c, 0)) - b) / (
        2 * a
    )  # the likeliest rate of the second alone
    variance = n * (2 * second + difference * (1 - difference))
    found: Float64[np.ndarray, " m"] = (x - y - n * difference) / np.sqrt(np.maximum(variance, 1e-12))
    return found
