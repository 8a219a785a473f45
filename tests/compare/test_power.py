from __future__ import annotations

import numpy as np
import pytest

from foveate.compare.statistics.crossed_effects import components, interval
from foveate.compare.statistics.power import detectable, pairing, tells


def test_detectable_difference_is_found_in_four_of_five_studies():
    r = np.random.default_rng(0)

    def draw(gain: float) -> np.ndarray:
        return (
            gain
            + 0.02 * r.normal(size=(5, 1))
            + 0.3 * r.normal(size=(1, 400))
            + 0.3 * r.normal(size=(5, 400))
        )

    size = float(np.mean([detectable(components(draw(0.0), span=None), 0.95) for _ in range(100)]))
    found = np.mean([interval(components(draw(size), span=None), 0.95)[0] > 0 for _ in range(400)])
    assert 0.7 < found < 0.92  # 0.8, and what simulation and the nonlinearity of the width leave open


def test_a_margin_is_reached_by_equivalence():
    assert tells((-0.4, 0.3), 0.5) and not tells((-0.4, 0.6), 0.5) and not tells((-0.5, 0.3), 0.5)
    assert tells((0.01, 2), 0.5) and tells((-2, -0.01), 0.5) and not tells((0.0, 1), 0.5)


def test_pairing_is_the_correlation_of_the_runs_of_a_seed():
    r = np.random.default_rng(0)
    shared = r.normal(size=4000)
    for rho in (0.0, 0.5, 0.9):
        a, b = (np.sqrt(rho) * shared + np.sqrt(1 - rho) * r.normal(size=4000) for _ in range(2))
        assert pairing(a, b) == pytest.approx(rho, abs=0.05)
        assert pairing(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1], abs=0.02)
    assert pairing(np.array([1.0, 2]), np.array([1.0, 2])) == 1.0
    assert pairing(np.array([1.0, 2]), np.array([2.0, 1])) == -1.0
    assert pairing(np.array([1.0]), np.array([2.0])) == 0.0
    assert pairing(np.array([1.0, 1]), np.array([2.0, 2])) == 1.0
