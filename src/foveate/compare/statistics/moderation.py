"""Comparisons of one study lend each other their estimates of how much seeds vary.

Three seeds say little about how much seeds vary: two degrees of freedom per comparison, and after correcting
for several comparisons the quantile explodes (8.9 for four). But all variants of a study are trained alike,
so each comparison's mean square over seeds says something about the others'. The seed mean square used is

    max((own + other) / 2, 3/4 own, MS_E),   other = mean over the others of min(MS_S, 4 * median MS_S)

with twice the own degrees of freedom, S - 1: half of it borrowed, half its own, and never much less than its
own. (Smyth, Linear models and empirical Bayes methods for assessing differential expression, 2004, moderates
variances in the same way.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from foveate.compare.statistics.crossed_effects import Components

CAP = 4.0  # what one comparison lends, at most, in medians of all
FLOOR = 0.75  # of the own mean square


def moderate(family: Mapping[str, Components]) -> dict[str, Components]:
    """Return the comparisons of one study with moderated seed mean squares.

    Comparisons may differ in their number of seeds. One without an interval (one seed, one item) neither
    borrows nor lends, and a single comparison is returned as it is.

    Args:
        family: All comparisons of one kind in a study, by name.
    """
    lending = {name: c.ms_seed for name, c in family.items() if c.defined}
    if len(lending) < 2:
        return dict(family)
    cap = CAP * float(np.median(list(lending.values())))
    lent = {name: min(square, cap) for name, square in lending.items()}
    whole = sum(lent.values())
    return {
        name: _moderated(c, (whole - lent[name]) / (len(lent) - 1)) if name in lent else c
        for name, c in family.items()
    }


def _moderated(c: Components, other: float) -> Components:
    """Return the components with half of their seed mean square borrowed."""
    square = max((c.ms_seed + other) / 2, FLOOR * c.ms_seed, c.ms_rest)
    return replace(c, ms_seed=square, seed_df=2 * c.seed_df)
