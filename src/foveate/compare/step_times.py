"""How long a step of many variants takes, from measurements of a few.

The study's own model and other models are measured, and of what is inserted only a sample, evenly spaced by
cost, the cheapest and the most expensive among them. The times of the others lie between those of their
neighbours in cost, in proportion to the multiply-adds. That is an estimate: a mechanism of few multiply-adds
that moves much memory is slower than it says. Nothing is decided by times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from foveate.compare.planned import PlannedVariant

SAMPLE = 5  # of the variants that insert something, how many are measured


def to_measure(variants: Sequence[PlannedVariant]) -> set[str]:
    """Return the names of the variants whose times are measured."""
    inserted = sorted((v for v in variants if v.spec is not None), key=_cost)
    last = len(inserted) - 1
    chosen = inserted if last < SAMPLE else [inserted[n * last // (SAMPLE - 1)] for n in range(SAMPLE)]
    return {v.name for v in variants if v.spec is None} | {v.name for v in chosen}


def estimated(variant: PlannedVariant, measured: Mapping[str, PlannedVariant]) -> tuple[float, float]:
    """Return seconds per step and per evaluated item, between those of the neighbours in cost.

    Args:
        variant: One that inserts something; it costs no less than the cheapest and no more than the most
            expensive of those that were measured.
        measured: Variants of the study's own model with their times, by name.
    """
    ordered = sorted(measured.values(), key=_cost)
    below = [v for v in ordered if _cost(v) <= _cost(variant)][-1]
    above = next(v for v in ordered if _cost(v) >= _cost(variant))
    share = _share(variant, below, above)
    return (
        below.step_seconds + share * (above.step_seconds - below.step_seconds),
        below.image_seconds + share * (above.image_seconds - below.image_seconds),
    )


def _cost(variant: PlannedVariant) -> tuple[int, int]:
    return variant.macs, variant.parameters


def _share(variant: PlannedVariant, below: PlannedVariant, above: PlannedVariant) -> float:
    """Return how far a variant lies from ``below`` to ``above``, in [0, 1]: by MACs, else by parameters."""
    for cost, low, high in zip(_cost(variant), _cost(below), _cost(above), strict=True):
        if low < high:
            return (cost - low) / (high - low)
    return 0.0
