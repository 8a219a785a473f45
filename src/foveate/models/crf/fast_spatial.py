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

_STRETCH = 256  # numbers of a row that stay in the first-level cache with those above and below
_BAND = 32  # rows that stay in the second-level cache between the two directions
TOGETHER = 4  # taps that go with one pass over the sums
# A product and a sum may become one instruction.
_compiled: Callable[..., Any] = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


@_compiled
def _convolved(values, total, at, size, step, taps):  # type: ignore[no-untyped-def]
    """Write sums over symmetric taps, given from the middle outwards, 1 + 4 n of them."""
    for x in range(size):
        total[x] = taps[0] * values[at + x]
    for tap in range(1, len(taps), TOGETHER):
        below, above = at - tap * step, at + tap * step
        one, two, three, four = taps[tap], taps[tap + 1], taps[tap + 2], taps[tap + 3]
        back1, ahead1 = values[below : below + size], values[above : above + size]
        below, above = below - step, above + step
        back2, ahead2 = values[below : below + size], values[above : above + size]
        below, above = below - step, above + step
        back3, ahead3 = values[below : below + size], values[above : above + size]
        below, above = below - step, above + step
        back4, ahead4 = values[below : below + size], values[above : above + size]
        for x in range(size):
            near = one * (back1[x] + ahead1[x]) + two * (back2[x] + ahead2[x])
            far = three * (back3[x] + ahead3[x]) + four * (back4[x] + ahead4[x])
            total[x] += near + far


@_compiled
def smooth(values, out, first, last, labels, vertical, horizontal):  # type: ignore[no-untyped-def]
    """Convolve rows first to last down and across; zero outside.

    Each direction is its taps (see ``_convolved``) and what multiplies the values before and after: (H)
    vertically, (W * L) horizontally.
    """
    height, wide = values.shape
    taps_down, before_down, after_down = vertical
    taps_across, before_across, after_across = horizontal
    reach, margin = len(taps_down) - 1, (len(taps_across) - 1) * labels
    strip = np.empty((_BAND + 2 * reach) * _STRETCH, values.dtype)
    length = wide + 2 * margin
    band = np.zeros(_BAND * length, values.dtype)
    total = np.empty(_STRETCH, values.dtype)
    for top in range(first, last, _BAND):
        count = min(_BAND, last - top)
        for start in range(0, wide, _STRETCH):
            size = min(_STRETCH, wide - start)
            share = before_across[start : start + size]
            for y in range(count + 2 * reach):
                row = top - reach + y
                target = strip[y * _STRETCH : y * _STRETCH + size]
                if row >= 0 and row < height:
                    source, scale = values[row, start : start + size], before_down[row]
                    for x in range(size):
                        target[x] = scale * source[x]
                else:
                    target[:] = 0
            for y in range(count):
                _convolved(strip, total, (y + reach) * _STRETCH, size, _STRETCH, taps_down)
                begin, scale = y * length + margin + start, after_down[top + y]
                target = band[begin : begin + size]
                for x in range(size):
                    target[x] = scale * total[x] * share[x]
        for y in range(count):
            for start in range(0, wide, _STRETCH):
                size = min(_STRETCH, wide - start)
                _convolved(band, total, y * length + margin + start, size, labels, taps_across)
                target, share = out[top + y, start : start + size], after_across[start : start + size]
                for x in range(size):
                    target[x] = share[x] * total[x]
