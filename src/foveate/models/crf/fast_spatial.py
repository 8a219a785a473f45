# mypy: disallow-untyped-decorators=False
"""The Gaussian of position for CPUs, compiled by numba; its slower twin in plain PyTorch is in ``spatial``.

The labels of a pixel lie side by side, so that a step to the right is a shift by their number and the
innermost loops run over whole stretches of memory. The loops release the interpreter's lock.

Shapes  values (H, W * L), a row of pixels with their labels float32 or float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

_STRETCH = 512  # numbers of a row that stay in the first-level cache with those above and below
# A product and a sum may become one instruction.
_compiled: Callable[..., Any] = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


@_compiled
def down(values, out, first, last, taps, before, after):  # type: ignore[no-untyped-def]
    """Convolve columns first to last with symmetric taps, given from the middle outwards; zero outside.

    Rows are multiplied by ``before`` (H) on the way in and by ``after`` (H) on the way out.
    """
    height = len(values)
    total = np.empty(_STRETCH, values.dtype)
    for start in range(first, last, _STRETCH):
        stop = min(start + _STRETCH, last)
        size = stop - start
        for y in range(height):
            middle, share = values[y, start:stop], taps[0] * before[y]
            for x in range(size):
                total[x] = share * middle[x]
            for tap in range(1, len(taps)):
                above, below = y - tap, y + tap
                if above >= 0 and below < height:
                    one, other = values[above, start:stop], values[below, start:stop]
                    left, right = taps[tap] * before[above], taps[tap] * before[below]
                    for x in range(size):
                        total[x] += left * one[x] + right * other[x]
                elif above >= 0 or below < height:
                    only = above if above >= 0 else below
                    one, left = values[only, start:stop], taps[tap] * before[only]
                    for x in range(size):
                        total[x] += left * one[x]
            target = out[y, start:stop]
            for x in range(size):
                target[x] = after[y] * total[x]


@_compiled
def across(values, out, first, last, taps, before, after, labels):  # type: ignore[no-untyped-def]
    """Convolve rows first to last as ``down`` does columns; ``before`` and ``after`` are (W * L)."""
    wide = values.shape[1]
    margin = (len(taps) - 1) * labels
    row = np.zeros(wide + 2 * margin, values.dtype)
    inner = row[margin : margin + wide]
    total = np.empty(_STRETCH, values.dtype)
    for y in range(first, last):
        source, target = values[y], out[y]
        for x in range(wide):
            inner[x] = before[x] * source[x]
        for start in range(0, wide, _STRETCH):
            size = min(_STRETCH, wide - start)
            middle = inner[start : start + size]
            for x in range(size):
                total[x] = taps[0] * middle[x]
            for tap in range(1, len(taps)):
                share, here = taps[tap], margin + start
                one = row[here - tap * labels : here - tap * labels + size]
                other = row[here + tap * labels : here + tap * labels + size]
                for x in range(size):
                    total[x] += share * (one[x] + other[x])
            for x in range(size):
                target[start + x] = after[start + x] * total[x]
