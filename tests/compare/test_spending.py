from __future__ import annotations

import pytest

from foveate.compare.statistics.spending import for_continuation, for_plan, spend


def test_looks_share_alpha_in_proportion_to_their_seeds():
    assert spend((3, 5, 8), 0.16) == pytest.approx((0.03, 0.05, 0.08))
    assert spend((4,), 0.05) == (0.05,)
    assert spend((), 0.05) == ()


def test_the_plan_and_any_number_of_continuations_spend_less_than_alpha():
    assert for_plan(0.05) == pytest.approx(0.04)
    assert [for_continuation(0.05, n) for n in (1, 2, 3)] == pytest.approx([0.005, 0.0025, 0.00125])
    spent = [for_plan(0.05) + sum(for_continuation(0.05, n) for n in range(1, last)) for last in range(1, 40)]
    assert spent == sorted(spent) and spent[-1] <= 0.05
