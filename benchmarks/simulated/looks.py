"""Studies that are looked at several times: false verdicts, runs, and what they find."""

from __future__ import annotations

import numpy as np
from benchmarks.simulated.draws import (
    ALPHA,
    SPREAD,
    excludes,
    helps,
    noise_of,
    plain_scores,
    planned,
    run,
    stream,
)

from foveate.compare.statistics.spending import for_continuation, for_plan


def looks_cell(studies: int, sd: float, case: str) -> dict[str, float]:
    """Return what looks at 3, 5 and 8 seeds give, for three comparisons: shares, and runs per study."""
    rng, k = stream(case, round(100 * sd)), 3
    looks = planned((3, 5, 8), k, for_plan(ALPHA))
    false = decided = runs = 0.0
    for _ in range(studies):
        ended = run(plain_scores(rng, [0.0] * k, 8, sd, noise_of(case, k, rng)), looks)
        false += any(map(excludes, ended))
        decided += sum(s.outcome == "verdict" for s in ended) / k
        runs += sum(s.components.seeds for s in ended) + max(s.components.seeds for s in ended)
    found = 0.0
    for _ in range(studies // 2):
        y = plain_scores(rng, [0.0] * (k - 1) + [2.0], 8, sd, noise_of(case, k, rng))
        found += helps(run(y, looks)[-1])
    return {
        "any false": false / studies,
        "decided": decided / studies,
        "runs": runs / studies,
        "finds +2": found / (studies // 2),
    }


def false_by_look(studies: int, case: str) -> list[float]:
    """Return the share of studies with a false verdict by each of the looks 3, 5, 8, 12 and 20.

    Nothing else ends a comparison: no margin is near, and none is futile.
    """
    rng, k = stream(case, 7), 3
    looks = planned((3, 5, 8), k, for_plan(ALPHA))
    for number, seeds in enumerate((12, 20), 1):
        looks += planned((seeds,), k, for_continuation(ALPHA, number))
    hits = np.zeros(len(looks))
    for _ in range(studies):
        ended = run(plain_scores(rng, [0.0] * k, 20, 100.0, noise_of(case, k, rng)), looks, futile=0.0)
        first = min((s.look.seeds for s in ended if excludes(s)), default=99)
        hits += [first <= look.seeds for look in looks]
    return list(hits / studies)


def looks_table(scale: float) -> None:
    """Print what studies with several looks find, and what it costs them."""
    studies = round(150 * scale)
    print("Looks at 3, 5 and 8 seeds, three comparisons, by the sd of one seed's difference in margins")
    print(f"({studies} studies of no effect, {studies // 2} with one gain of 2 margins, a cell)")
    print(f"{'sd':>5} {'noise':>10} {'any false':>10} {'decided':>8} {'runs':>6} {'finds +2':>9}")
    for sd in (0.1, 0.25, 0.5, 1.0, 2.0):
        for case in ("equal", SPREAD):
            cell = looks_cell(studies, sd, case)
            print(
                f"{sd:5.2f} {case:>10} {cell['any false']:10.3f} {cell['decided']:8.2f} {cell['runs']:6.1f} "
                f"{cell['finds +2']:9.2f}"
            )
    studies *= 2
    print(f"\nAny false verdict by the look at 3, 5, 8, 12, 20 seeds; {studies} studies")
    for case in ("equal", "one 3 times", SPREAD):
        print(f"{case:>12} " + " ".join(f"{share:6.3f}" for share in false_by_look(studies, case)))
