"""Whether the seeds named as enough are, and whether the chance of a gain worth having is right."""

from __future__ import annotations

import numpy as np
from benchmarks.simulated.draws import ALPHA, mixed, of_seeds, plain_scores, run

from foveate.compare.statistics.looks import Look
from foveate.compare.statistics.moderation import moderate
from foveate.compare.statistics.outlook import MORE_LIKELY_THAN_NOT, chance_worth, seeds_to_know


def kept(studies: int, sd: float) -> tuple[float, float, float]:
    """Return how often the seeds named are enough, how often a number is named, and its median.

    Of the comparisons of studies of three that are undecided after three seeds.
    """
    rng = np.random.default_rng([3, round(100 * sd)])
    k, most, level = 3, 20, 1 - ALPHA / 3
    enough, named, undecided = 0, [], 0
    for _ in range(studies):
        y = plain_scores(rng, mixed(rng, k), most, sd, np.ones(k + 1))
        for m, standing in enumerate(run(y[:, :3], [Look(3, level)])):
            if standing.outcome == "verdict":
                continue
            undecided += 1
            seeds = seeds_to_know(standing.components, level, 1.0)
            if seeds is not None:
                named.append(seeds)
                enough += run(y[:, :seeds], [Look(seeds, level)])[m].outcome == "verdict"
    return enough / max(len(named), 1), len(named) / max(undecided, 1), float(np.median(named or [0]))


def worth(studies: int, sd: float) -> list[tuple[float, float, int]]:
    """Return for each fifth of the chance stated: its mean, how often it is true, and how many there are.

    Of studies of three comparisons after three seeds, whose standard errors are estimates too.
    """
    rng = np.random.default_rng([4, round(100 * sd)])
    k, stated, true = 3, [], []
    for _ in range(studies):
        gains = mixed(rng, k)
        y = plain_scores(rng, gains, 3, sd, np.ones(k + 1))[:, :, 0]
        for gain, c in zip(
            gains, moderate({str(m): of_seeds(y[m + 1] - y[0]) for m in range(k)}).values(), strict=True
        ):
            stated.append(chance_worth(c.mean, float(np.sqrt(c.variance)), 1.0) or 0.0)
            true.append(gain >= 1)
    said, was = np.array(stated), np.array(true)
    bins = np.minimum((said * 5).astype(int), 4)
    return [
        (float(said[bins == b].mean()), float(was[bins == b].mean()), int((bins == b).sum()))
        for b in range(5)
        if (bins == b).any()
    ]


def outlook_table(scale: float) -> None:
    """Print how far predictions can be trusted."""
    studies = round(100 * scale)
    print(f"Seeds named as enough for a verdict with a chance of .8; {studies} studies of three comparisons")
    for sd in (0.5, 1.0, 2.0):
        right, named, median = kept(studies, sd)
        print(f"sd {sd:.1f} margins: enough {right:.2f}; named {named:.2f} of the time, median {median:.0f}")
    print(
        f"\nChance of a gain worth having: stated -> true; at most {MORE_LIKELY_THAN_NOT} where se > margin"
    )
    for sd in (0.5, 2.0, 4.0):
        cells = worth(round(2000 * scale), sd)
        shown = "   ".join(f"{said:.2f} -> {true:.2f} ({n})" for said, true, n in cells)
        print(f"sd {sd:.1f} margins, 3 seeds: {shown}")
