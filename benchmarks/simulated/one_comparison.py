"""One comparison, whose items vary too: false verdicts, and power by how well runs are paired."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from benchmarks.simulated.draws import ALPHA, NOISES, any_excluded, draw
from scipy import stats

from foveate.compare.statistics.crossed_effects import components, p_value


def one(
    studies: int, seeds: int, items: int, *, changes: bool, gain: float = 0.0, pairing: float = 0.0
) -> tuple[float, float, float]:
    """Return shares of studies with a verdict at 5 %: ours, textbook crossed interval, t on seed means."""
    rng = np.random.default_rng([seeds, items, changes, round(gain * 1e4), round(pairing * 100)])
    ours = crossed = means = 0
    for _ in range(studies):
        y = draw(rng, seeds, items, changes=changes, gains=(gain,), pairing=pairing)
        c = components(y[1] - y[0])
        ours += (p_value(c) or 0.0) < ALPHA
        crossed += abs(c.mean) > stats.t.isf(ALPHA / 2, c.df) * np.sqrt(c.variance)
        means += abs(c.mean) > stats.t.isf(ALPHA / 2, seeds - 1) * np.sqrt(c.ms_seed / (seeds * items))
    return ours / studies, crossed / studies, means / studies


def answers(studies: int, seeds: int, items: int, noise: Sequence[float]) -> float:
    """Return the share of studies of right and wrong answers with any false verdict."""
    rng = np.random.default_rng([seeds, items, len(noise), round(10 * sum(noise))])
    hits = 0
    for _ in range(studies):
        y = draw(rng, seeds, items, changes=True, gains=[0.0] * (len(noise) - 1), noise=noise)
        hits += any_excluded({str(m): components(other - y[0]) for m, other in enumerate(y[1:])})
    return hits / studies


def items_table(scale: float) -> None:
    """Print false verdicts and power of one comparison."""
    studies = round(300 * scale)
    error = 1.96 * np.sqrt(ALPHA * (1 - ALPHA) / studies)
    print(f"One comparison, false verdicts at a nominal .05; {studies} studies a cell: .050 +- {error:.3f}")
    print(f"{'items':>6} {'seeds':>6} {'changes':>8} {'foveate':>9} {'crossed':>9} {'t means':>9}")
    for items in (400, 2000):
        for changes in (False, True):
            for seeds in (3, 5, 10):
                cells = " ".join(f"{share:9.3f}" for share in one(studies, seeds, items, changes=changes))
                print(f"{items:6d} {seeds:6d} {'yes' if changes else 'no':>8} {cells}")
    print("\nChance of seeing a true gain, 2,000 items (foveate / textbook crossed)")
    for pairing in (0.0, 0.5, 0.9):
        for gain in (0.01, 0.02):
            cells = {
                s: one(studies // 3, s, 2000, changes=True, gain=gain, pairing=pairing) for s in (3, 5, 10)
            }
            shown = "   ".join(f"{s} seeds {c[0]:.2f} / {c[1]:.2f}" for s, c in cells.items())
            print(f"pairing {pairing:.1f}  +{100 * gain:.0f} point{'s' * (gain > 0.01)}  {shown}")
    print(
        "\nWhole studies of four comparisons, variants that change which items are right: any false verdict"
    )
    for items in (400, 2000):
        for name in ("equal", "half 5 times"):
            cells = {s: answers(studies, s, items, NOISES[name](4)) for s in (3, 5)}
            shown = "   ".join(f"{s} seeds {share:.3f}" for s, share in cells.items())
            print(f"{items:6d} items, {name:14} {shown}")
