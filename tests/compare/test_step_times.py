"""Times of many variants from measurements of a few."""

from __future__ import annotations

import pytest

from foveate.compare.planned import PlannedVariant
from foveate.compare.step_times import SAMPLE, estimated, to_measure


def variant(name: str, macs: int, parameters: int = 0, step: float = 0.0) -> PlannedVariant:
    spec = None if name == "baseline" else name
    return PlannedVariant(name, "variant", spec, None, None, parameters, macs, 0, step, step / 10)


def test_a_sample_is_measured_the_cheapest_and_the_most_expensive_among_them() -> None:
    inserted = [variant(f"v{n}", 1000 - n) for n in range(30)]
    model = PlannedVariant("deeper", "variant", None, model="resnet14")
    chosen = to_measure([variant("baseline", 0), *inserted, model])
    assert len(chosen) == 2 + SAMPLE
    assert chosen >= {"baseline", "deeper", "v0", "v29"}


def test_a_few_are_all_measured() -> None:
    few = [variant("baseline", 0), *(variant(f"v{n}", 7) for n in range(SAMPLE))]
    assert to_measure(few) == {v.name for v in few}


@pytest.mark.parametrize(
    ("asked", "step"),
    [
        (variant("between", 125), 1.25),
        (variant("as dear as one that was measured", 200, 3), 2.0),
        (variant("by parameters", 200, 6), 1.7),
        (variant("before the first of two of the same MACs", 150, 9), 1.5),
    ],
)
def test_an_estimate_lies_between_the_times_of_its_neighbours(asked: PlannedVariant, step: float) -> None:
    known = [
        variant("dear", 400, 0, 4.0),
        variant("baseline", 100, 0, 1.0),
        variant("same, larger", 200, 13, 1.0),
        variant("middle", 200, 3, 2.0),
    ]
    assert estimated(asked, {v.name: v for v in known}) == pytest.approx((step, step / 10))
