"""Whole studies of several variants, equally and very unequally noisy."""

from __future__ import annotations

import numpy as np
from benchmarks.simulated.draws import ALPHA, CASES, any_excluded, noise_of, of_seeds, stream

from foveate.compare.statistics.crossed_effects import half_width
from foveate.compare.statistics.moderation import moderate

FAMILIES = ((2, (3, 5, 8)), (3, (3, 5, 8)), (5, (3, 5, 8)), (20, (2, 3, 5, 8)))


def whole(studies: int, seeds: int, variants: int, case: str) -> tuple[float, float]:
    """Return the share of studies with any false verdict, and the mean half width, in sds of one run.

    Args:
        studies: How many studies; the half width is that of at most 40.
        seeds: S.
        variants: k.
        case: One of ``CASES``.
    """
    rng = stream(case, seeds, variants)
    hits, widths = 0, []
    for study in range(studies):
        y = rng.normal(size=(variants + 1, seeds)) * noise_of(case, variants, rng)[:, None]
        family = {str(m): of_seeds(y[m] - y[0]) for m in range(1, variants + 1)}
        hits += any_excluded(family)
        if study < 40:
            widths += [half_width(c, 1 - ALPHA / variants) for c in moderate(family).values()]
    return hits / studies, float(np.mean(widths))


def family_table(scale: float) -> None:
    """Print false verdicts of whole studies, and how wide their intervals are."""
    print("Whole studies: any false verdict at a nominal .05, and half width in sds of one run")
    print(f"{'k, S':>6} {'studies':>8} " + " ".join(f"{name:>14}" for name in CASES))
    for variants, counts in FAMILIES:
        studies = round(scale * (1000 if variants < 10 else 300))
        for seeds in counts:
            cells = [whole(studies, seeds, variants, name) for name in CASES]
            shown = " ".join(f"{share:6.3f}, {width:6.2f}" for share, width in cells)
            print(f"{variants:3d},{seeds:2d} {studies:8d} {shown}")
