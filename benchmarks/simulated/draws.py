"""Studies drawn at random, how noisy their models are, and how their comparisons end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from zlib import crc32

import numpy as np
from scipy import special

from foveate.compare.statistics.crossed_effects import Components, p_value
from foveate.compare.statistics.looks import Look, Standing, replay
from foveate.compare.statistics.moderation import moderate
from foveate.compare.statistics.spending import spend

SEED_EFFECT = 0.01
ALPHA = 0.05
PLAIN_ITEMS = 201  # items that do not vary; enough for their variance to count as known

NOISES: dict[str, Callable[[int], list[float]]] = {  # of the baseline and k variants
    "equal": lambda k: [1.0] * (k + 1),
    "one 3 times": lambda k: [1.0, 3.0] + [1.0] * (k - 1),
    "one pair 0.3": lambda k: [0.3, 0.3] + [1.0] * (k - 1),
    "one pair 0.1": lambda k: [0.1, 0.1] + [1.0] * (k - 1),
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


def of_seeds(means: np.ndarray) -> Components:
    """Return the components of differences (S,) between seeds, where items do not vary."""
    square = PLAIN_ITEMS * float(means.var(ddof=1))
    return Components(
        float(means.mean()), len(means), PLAIN_ITEMS, square, 0.0, 0.0, len(means) - 1, span=None
    )


def any_excluded(family: Mapping[str, Components]) -> bool:
    """Return whether an interval of the family, moderated, excludes 0."""
    level = ALPHA / len(family)
    return any((p_value(c) or 0.0) < level for c in moderate(family).values())


def planned(counts: Sequence[int], comparisons: int, alpha: float) -> list[Look]:
    """Return looks that spend ``alpha`` together, as each of the comparisons has them."""
    return [Look(s, 1 - a / comparisons) for s, a in zip(counts, spend(counts, alpha), strict=True)]


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


def mixed(rng: np.random.Generator, variants: int) -> np.ndarray:
    """Return true gains, in margins: 70 % within .2, 15 % help and 15 % hurt by 1.5 to 5."""
    size, kind = rng.uniform(1.5, 5.0, variants), rng.random(variants)
    nil = rng.uniform(-0.2, 0.2, variants)
    return np.where(kind < 0.7, nil, np.where(kind < 0.85, size, -size))
