"""A race of many variants, dropped as soon as they are unlikely to be worth having."""

from __future__ import annotations

import numpy as np
from benchmarks.simulated.draws import (
    ALPHA,
    SPREAD,
    excludes,
    helps,
    mixed,
    noise_of,
    plain_scores,
    planned,
    run,
    stream,
)

from foveate.compare.statistics.looks import Look
from foveate.compare.statistics.spending import for_plan

RACERS = 20
RACE = (3, 4, 5)  # looks that may give a verdict; dropping begins at 2


def race_looks() -> list[Look]:
    """Return the looks of a race."""
    looks = planned(RACE, RACERS, for_plan(ALPHA))
    return [Look(2, looks[0].level), *looks]


def race_cell(studies: int, sd: float, case: str, null: bool) -> dict[str, float]:
    """Return what a race does beside two exhaustive studies of five seeds; a control runs in each of them."""
    rng = stream(case, round(100 * sd), null)
    every = planned((5,), RACERS, ALPHA)
    found: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    for _ in range(studies):
        gains = np.zeros(RACERS) if null else mixed(rng, RACERS)
        noise = noise_of(case, RACERS, rng)
        y = plain_scores(rng, gains, 5, sd, noise)
        raced = run(y, race_looks(), race=True)
        longest = max(s.components.seeds for s in raced)
        seeds = sum(s.components.seeds for s in raced)
        note("runs", seeds + 2 * longest)
        note("branch .25", longest + 0.25 * (seeds + 2 * longest))
        note("any helps", any(map(helps, raced)))
        note("any hurts", any(excludes(s) and not helps(s) for s in raced))
        note("ended", np.mean([s.outcome != "open" for s in raced]))
        if null:
            continue
        first = np.array([helps(s) for s in run(y, every)])
        again = np.array([helps(s) for s in run(plain_scores(rng, gains, 5, sd, noise), every)])
        ours = np.array([helps(s) for s in raced])
        note("same", float((ours == again).mean()))
        note("exhaustive same", float((first == again).mean()))
        if (gains > 1).any():
            note("finds a helper", float(ours[gains > 1].mean()))
            note("exhaustive finds", float(first[gains > 1].mean()))
    return {name: float(np.mean(values)) for name, values in found.items()}


def race_table(scale: float) -> None:
    """Print what a race of 20 variants saves and loses."""
    studies = round(40 * scale)
    print(f"Race of {RACERS} variants and a control, up to 5 seeds (exhaustive: 110 runs); {studies} studies")
    for sd, case in ((2.0, "equal"), (0.5, "equal"), (0.25, "equal"), (0.5, SPREAD)):
        for null in (True, False):
            cell = race_cell(studies, sd, case, null)
            shown = ", ".join(f"{name} {value:.3g}" for name, value in cell.items())
            print(f"sd {sd:4.2f} {case:>9} {'no effect' if null else 'mixed':>9}: {shown}")
