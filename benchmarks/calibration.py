"""How often does a study of a model against itself give a verdict, and how often is the truth found?

    python -m benchmarks.calibration [TABLE ...] [--studies 1.0]

Tables, all of them by default, each about a minute of one core; ``--studies 4`` runs four times the studies:

- ``items``: one comparison, 400 and 2,000 items, variants that do and do not change which items are right;
  and its power by how well the runs of a seed are paired;
- ``family``: whole studies of several variants, equally and very unequally noisy;
- ``looks``: studies that are looked at after 3, 5 and 8 seeds, and continued to 12 and 20;
- ``race``: 20 variants, dropped as soon as they are unlikely to be worth having;
- ``outlook``: whether the seeds named as enough are, and whether the chance of a gain worth having is right.

In ``items`` a run's accuracy varies by one point between seeds, and items go from very easy to very hard. In
the others only seeds vary, which is the hardest case for the interval; differences are in margins.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from zlib import crc32

import numpy as np
from scipy import special, stats

from foveate.compare.statistics.crossed_effects import Components, components, half_width, p_value
from foveate.compare.statistics.looks import Look, Standing, replay
from foveate.compare.statistics.moderation import moderate
from foveate.compare.statistics.outlook import MORE_LIKELY_THAN_NOT, chance_worth, seeds_to_know
from foveate.compare.statistics.spending import for_continuation, for_plan, spend

SEED_EFFECT = 0.01
ALPHA = 0.05
PLAIN_ITEMS = 201  # items that do not vary; enough for their variance to count as known


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
        ours += (p_value(c) or 0.0) < ALPHA
        crossed += abs(c.mean) > stats.t.isf(ALPHA / 2, c.df) * np.sqrt(c.variance)
        means += abs(c.mean) > stats.t.isf(ALPHA / 2, seeds - 1) * np.sqrt(c.ms_seed / (seeds * items))
    return ours / studies, crossed / studies, means / studies


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


def answers(studies: int, seeds: int, items: int, noise: Sequence[float]) -> float:
    """Return the share of studies of right and wrong answers with any false verdict."""
    rng = np.random.default_rng([seeds, items, len(noise), round(10 * sum(noise))])
    hits = 0
    for _ in range(studies):
        y = draw(rng, seeds, items, changes=True, gains=[0.0] * (len(noise) - 1), noise=noise)
        hits += any_excluded({str(m): components(other - y[0]) for m, other in enumerate(y[1:])})
    return hits / studies


def any_excluded(family: Mapping[str, Components]) -> bool:
    """Return whether an interval of the family, moderated, excludes 0."""
    level = ALPHA / len(family)
    return any((p_value(c) or 0.0) < level for c in moderate(family).values())


NOISES: dict[str, Callable[[int], list[float]]] = {  # of the baseline and k variants
    "equal": lambda k: [1.0] * (k + 1),
    "one 3 times": lambda k: [1.0, 3.0] + [1.0] * (k - 1),
    "one pair 0.3": lambda k: [0.3, 0.3] + [1.0] * (k - 1),
    "baseline 3": lambda k: [3.0] + [1.0] * k,
    "half 5 times": lambda k: [1.0] + [5.0] * max(k // 2, 1) + [1.0] * (k - max(k // 2, 1)),
}
SPREAD = "lognormal"  # each model's noise is exp(0.4 z)
CASES = (*NOISES, SPREAD)


def noise_of(case: str, variants: int, rng: np.random.Generator) -> np.ndarray:
    """Return factors on the spread of each model (1 + variants,), the baseline first."""
    if case == SPREAD:
        return np.exp(0.4 * rng.normal(size=variants + 1))
    return np.array(NOISES[case](variants))


def stream(case: str, *numbers: int) -> np.random.Generator:
    """Return the source of randomness of one cell of a table."""
    return np.random.default_rng([crc32(case.encode()), *numbers])


FAMILIES = ((2, (3, 5, 8)), (3, (3, 5, 8)), (5, (3, 5, 8)), (20, (2, 3, 5, 8)))


def of_seeds(means: np.ndarray) -> Components:
    """Return the components of differences (S,) between seeds, where items do not vary."""
    square = PLAIN_ITEMS * float(means.var(ddof=1))
    return Components(
        float(means.mean()), len(means), PLAIN_ITEMS, square, 0.0, 0.0, len(means) - 1, span=None
    )


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


def planned(counts: Sequence[int], comparisons: int, alpha: float) -> list[Look]:
    """Return looks that spend ``alpha`` together, as each of the comparisons has them."""
    return [Look(s, 1 - a / comparisons) for s, a in zip(counts, spend(counts, alpha), strict=True)]


def plain_scores(
    rng: np.random.Generator, gains: Sequence[float], seeds: int, sd: float, noise: np.ndarray
) -> np.ndarray:
    """Return scores (1 + k, S, items): seeds differ, items do not.

    Args:
        rng: Source of randomness.
        gains: True gain of each of the k variants, in margins.
        seeds: S.
        sd: Standard deviation of one seed's difference, in margins, where the noise is 1.
        noise: Factor on the spread of each model, the baseline first.
    """
    y = sd / np.sqrt(2) * noise[:, None] * rng.normal(size=(len(noise), seeds))
    y[1:] += np.asarray(gains)[:, None]
    return np.repeat(y[:, :, None], PLAIN_ITEMS, axis=2)


def run(y: np.ndarray, looks: Sequence[Look], **options: bool | float) -> list[Standing]:
    """Return how each comparison of the scores (1 + k, S, items) ended; the margin is 1."""
    names = [str(m) for m in range(1, len(y))]
    scores = dict(zip(names, y[1:], strict=True))
    found = replay(
        dict.fromkeys(names, y[0]), scores, dict.fromkeys(names, looks), margin=1.0, span=None, **options
    )
    return [found[name] for name in names]


def excludes(s: Standing) -> bool:
    """Return whether a comparison ended with "helps" or "hurts": a false verdict where there is no effect."""
    return s.outcome == "verdict" and (p_value(s.components) or 0.0) < 1 - s.look.level


def helps(s: Standing) -> bool:
    """Return whether a comparison ended with "helps"."""
    return excludes(s) and s.components.mean > 0


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


RACERS = 20
RACE = (3, 4, 5)  # looks that may give a verdict; dropping begins at 2


def mixed(rng: np.random.Generator, variants: int) -> np.ndarray:
    """Return true gains, in margins: 70 % within .2, 15 % help and 15 % hurt by 1.5 to 5."""
    size, kind = rng.uniform(1.5, 5.0, variants), rng.random(variants)
    nil = rng.uniform(-0.2, 0.2, variants)
    return np.where(kind < 0.7, nil, np.where(kind < 0.85, size, -size))


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


TABLES = {
    "items": items_table,
    "family": family_table,
    "looks": looks_table,
    "race": race_table,
    "outlook": outlook_table,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"{', '.join(TABLES)}; all by default")
    parser.add_argument("--studies", type=float, default=1.0, help="times the usual number of studies")
    words = parser.parse_args()
    unknown = sorted(set(words.tables) - set(TABLES))
    if unknown:
        parser.error(f"no table is called {unknown[0]!r}; there are {', '.join(TABLES)}")
    for name in words.tables or TABLES:
        start = time.process_time()
        TABLES[name](words.studies)
        print(f"{time.process_time() - start:.0f} s of processor time\n", flush=True)


if __name__ == "__main__":
    main()
