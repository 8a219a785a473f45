"""Variants of one study pool their estimates of how much seeds vary.

Three seeds say little about how much seeds vary: two degrees of freedom a variant, and after correcting for
several variants the quantile explodes (8.9 for four comparisons). But all variants of a study are trained
alike, so their mean squares over seeds estimate the same quantity. The seed mean square of a comparison is

    max(its own, mean over comparisons of min(MS_S, 4 * median MS_S))

that is, shared, but never less than its own, and robust to one outlying variant; such a one (above 4 times
the median) is judged by its own mean square and its own S - 1 degrees of freedom. The others have k(S - 1) /
(1 + (k - 1)/2) of them, at most twice their own. If all runs were equally noisy it could be k(S - 1) / (1 +
(k - 1)/4), since differences that share a baseline correlate by 1/2; the margin covers runs that are not.

``benchmarks/calibration.py`` shows that false verdicts a study stay below 5 %, with equal and with very
unequal variants (up to 5 times; 6 % where half of them are 10 times as noisy as the rest), and the power to
see a true gain with three seeds and four comparisons is half as large again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from foveate.compare.statistics.crossed_effects import Components

WILD = 4.0


def pool(family: Mapping[str, Components]) -> dict[str, Components]:
    """Return the comparisons of one study with their shared seed mean square and its degrees of freedom."""
    own = np.array([c.ms_seed for c in family.values()])
    k = len(own)
    if k < 2:
        return dict(family)
    cap = WILD * float(np.median(own))
    shared = float(np.minimum(own, cap).mean())
    more = k / (1 + (k - 1) / 2)
    return {
        name: c if c.ms_seed > cap else replace(c, ms_seed=max(c.ms_seed, shared), seed_df=c.seed_df * more)
        for name, c in family.items()
    }
