"""How often does a study of a model against itself give a verdict, and how often is a true gain found?

    python benchmarks/calibration.py [--studies 1500]

Three grids: one comparison (400 and 2,000 items; 3, 5, 10 seeds; variants that do and do not change which
items are right), its power by pairing, and whole studies of several variants with equal and with very unequal
seed effects. A run's accuracy varies by one point between seeds; items go from very easy to very hard.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np
from scipy import special, stats

from foveate.compare.statistics.crossed_effects import components, p_value
from foveate.compare.statistics.family import compare_all

SEED_EFFECT = 0.01


def draw(
    rng: np.random.Generator,
    seeds: int,
    items: int,
    *,
    changes: bool,
    gains: Sequence[float] = (0.0,),
    pairing: float = 0.0,
    noise: Sequence[float] | None = None,
) -> np.ndarray:
    """Draw right and wrong answers (1 + variants, S, N) of a baseline, first, and its variants.

    Args:
        rng: Source of randomness.
        seeds: S.
        items: N.
        changes: Whether a variant changes which items are right (its mean stays the same).
        gains: True gain of each variant over the baseline, as a share.
        pairing: Correlation of the seed effects of two runs of one seed.
        noise: Factor on each model's seed effect, the baseline first.
    """
    easy = rng.normal(1.5, 3.0, items)
    slope = float((special.expit(easy) * special.expit(-easy)).mean())
    shared = rng.normal(size=(seeds, 1))
    models = []
    for m, gain in enumerate((0.0, *gains)):
        luck = np.sqrt(pairing) * shared + np.sqrt(1 - pairing) * rng.normal(size=(seeds, 1))
        luck *= SEED_EFFECT / slope * (noise[m] if noise else 1.0)
        taste = rng.normal(size=items) if changes else 0.0
        chance = special.expit(easy + taste + luck + gain / slope)
        models.append(rng.random((seeds, items), dtype=np.float32) < chance)
    return np.array(models, dtype=np.float64)


def one(
    studies: int, seeds: int, items: int, *, changes: bool, gain: float = 0.0, pairing: float = 0.0
) -> tuple[float, float, float]:
    """Return shares of studies with a verdict at 5 %: ours, textbook crossed interval, t on seed means."""
    rng = np.random.default_rng([seeds, items, changes, round(gain * 1e4), round(pairing * 100)])
    ours = crossed = means = 0
    for _ in range(studies):
        y = draw(rng, seeds, items, changes=changes, gains=(gain,), pairing=pairing)
        c = components(y[1] - y[0])
        ours += (p_value(c) or 0.0) < 0.05
        crossed += abs(c.mean) > stats.t.isf(0.025, c.df) * np.sqrt(c.variance)
        means += abs(c.mean) > stats.t.isf(0.025, seeds - 1) * np.sqrt(c.ms_seed / (seeds * items))
    return ours / studies, crossed / studies, means / studies


def whole(studies: int, seeds: int, items: int, noise: Sequence[float], gain: float = 0.0) -> float:
    """Return the share of studies with "helps" or "hurts" for any variant (the last, if it has a gain)."""
    rng = np.random.default_rng([seeds, items, len(noise), round(sum(noise) * 10)])
    hits = 0
    for _ in range(studies):
        gains = [0.0] * (len(noise) - 2) + [gain]
        y = draw(rng, seeds, items, changes=True, gains=gains, noise=noise, pairing=0.5 if gain else 0.0)
        found = compare_all(
            {str(m): y[0] for m in range(1, len(y))}, {str(m): y[m] for m in range(1, len(y))}
        )
        away = [d for name, d in found.items() if not gain or name == str(len(y) - 1)]
        hits += any(d.low is not None and d.high is not None and (d.low > 0 or d.high < 0) for d in away)
    return hits / studies


NOISES = {
    "all alike": (1, 1, 1, 1, 1),
    "one variant 3 times as noisy": (1, 3, 1, 1, 1),
    "one variant 10 times as noisy": (1, 10, 1, 1, 1),
    "baseline 3 times as noisy": (3, 1, 1, 1, 1),
    "half of them 5 times as noisy": (1, 5, 5, 1, 1),
    "two comparisons": (1, 1, 1),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=1500, help="simulated studies a cell")
    studies = parser.parse_args().studies
    start = time.perf_counter()
    error = 1.96 * np.sqrt(0.05 * 0.95 / studies)
    print(f"False verdicts at a nominal .05; {studies} studies a cell, so .050 +- {error:.3f}")
    print(f"{'items':>6} {'seeds':>6} {'changes':>8} {'foveate':>9} {'crossed':>9} {'t means':>9}")
    for items in (400, 2000):
        for changes in (False, True):
            for seeds in (3, 5, 10):
                shares = one(studies, seeds, items, changes=changes)
                cells = " ".join(f"{share:9.3f}" for share in shares)
                print(f"{items:6d} {seeds:6d} {'yes' if changes else 'no':>8} {cells}")
    print("\nChance of seeing a true gain, 2,000 items (foveate / textbook crossed)")
    for pairing in (0.0, 0.5, 0.9):
        for gain in (0.01, 0.02):
            cells = [one(studies // 4, s, 2000, changes=True, gain=gain, pairing=pairing) for s in (3, 5, 10)]
            shown = "   ".join(
                f"{s} seeds {c[0]:.2f} / {c[1]:.2f}" for s, c in zip((3, 5, 10), cells, strict=True)
            )
            print(f"pairing {pairing:.1f}  +{100 * gain:.0f} point{'s' * (gain > 0.01)}  {shown}")
    print("\nWhole studies, four comparisons unless said: share with any false verdict, 1,000 items")
    for name, noise in NOISES.items():
        cells = [whole(studies // 2, seeds, 1000, noise) for seeds in (3, 5)]
        print(f"{name:32s} 3 seeds {cells[0]:.3f}   5 seeds {cells[1]:.3f}")
    print("Chance of seeing +4 points of one of four: ", end="")
    print(f"{whole(studies // 4, 3, 1000, NOISES['all alike'], 0.04):.2f} with 3 seeds")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
