from __future__ import annotations

from dataclasses import replace

import pytest
from scipy import stats

from foveate.compare.statistics.crossed_effects import Components
from foveate.compare.statistics.moderation import moderate


def family(*squares: float, seeds: int = 3, rest: float = 0.0) -> dict[str, Components]:
    return {
        f"v{i}": Components(0.0, seeds, 500, square, rest, rest, seeds - 1)
        for i, square in enumerate(squares, 1)
    }


def test_one_comparison_stays_as_it_is():
    assert moderate({}) == {}
    assert moderate(family(2.0, rest=3.0)) == family(2.0, rest=3.0)


def test_half_of_a_small_mean_square_is_borrowed_and_a_large_one_is_kept():
    found = moderate(family(1.0, 2.0, 6.0))
    assert [c.ms_seed for c in found.values()] == pytest.approx([2.5, 2.75, 6.0])
    assert [c.seed_df for c in found.values()] == pytest.approx([3.6] * 3)
    assert not any(c.own_variance for c in found.values())
    assert moderate(family(1.0, 2.0))["v1"].seed_df == pytest.approx(3.4)  # one other lends less
    assert moderate(family(*[1.0] * 20))["v1"].seed_df > 4.5  # many lend more
    assert moderate(family(*[1.0] * 20, seeds=2))["v1"].seed_df == pytest.approx(2.3)


def test_a_quiet_comparison_is_not_raised_to_the_level_of_noisy_ones():
    found = moderate(family(0.1, 4.0, 4.0, 4.0))
    assert found["v1"].ms_seed == pytest.approx(2.05)


@pytest.mark.parametrize("seeds", [3, 5, 8])
def test_one_that_is_significantly_noisier_is_judged_by_its_own_variance(seeds: int):
    limit = stats.f.isf(0.05, seeds - 1, seeds - 1)
    below, above = (family(1.0, 1.0, 1.0, limit * factor, seeds=seeds) for factor in (0.99, 1.01))
    assert not moderate(below)["v4"].own_variance
    found = moderate(above)
    assert found["v4"] == replace(above["v4"], own_variance=True)
    lent = (1 + 1 + min(4.0, limit * 1.01)) / 3  # no more than four medians
    assert found["v1"].ms_seed == pytest.approx((1 + lent) / 2)


def test_one_that_is_significantly_quieter_than_all_is_judged_by_its_own_variance_and_lends_nothing():
    limit = stats.f.isf(0.005, 7, 7)
    above, below = (family(1.0, limit * factor, 12.0, seeds=8) for factor in (0.99, 1.01))
    assert not moderate(above)["v1"].own_variance
    found = moderate(below)
    assert found["v1"] == replace(below["v1"], own_variance=True)
    rest = {name: c for name, c in below.items() if name != "v1"}
    assert {name: found[name] for name in rest} == moderate(rest)
    few = moderate(family(1.0, 1e3, 2e3, seeds=7))
    assert not few["v1"].own_variance and few["v1"].ms_seed > 500  # so few may be small by luck


def test_beside_a_quiet_one_a_lone_other_stays_as_it_is():
    found = moderate(family(1.0, 100.0, seeds=8))
    assert all(c.own_variance and c.seed_df == 7 for c in found.values())
    assert [c.ms_seed for c in found.values()] == [1.0, 100.0]


def test_no_mean_square_is_below_that_of_the_rest():
    assert all(c.ms_seed == 3.0 for c in moderate(family(1.0, 2.0, rest=3.0)).values())


def test_comparisons_of_different_numbers_of_seeds_lend_to_each_other():
    mix = family(2.0) | {"more": replace(family(4.0)["v1"], seeds=8, seed_df=7)}
    found = moderate(mix)
    assert (found["v1"].ms_seed, found["v1"].seed_df) == pytest.approx((3.0, 3.4))
    assert (found["more"].ms_seed, found["more"].seed_df) == pytest.approx((4.0, 11.9))


@pytest.mark.parametrize("odd", [{"seeds": 1, "seed_df": 0}, {"items": 1}])
def test_a_comparison_without_an_interval_neither_borrows_nor_lends(odd: dict[str, int]):
    alone = replace(family(9.0)["v1"], **odd)
    assert moderate(family(1.0, 2.0) | {"odd": alone}) == moderate(family(1.0, 2.0)) | {"odd": alone}
    assert moderate(family(1.0) | {"odd": alone}) == family(1.0) | {"odd": alone}


def test_the_order_of_comparisons_does_not_matter():
    found = moderate(family(1.0, 2.0, 6.0, 40.0))
    backwards = moderate(dict(reversed(family(1.0, 2.0, 6.0, 40.0).items())))
    for name, c in found.items():
        assert backwards[name].ms_seed == pytest.approx(c.ms_seed)
        assert replace(backwards[name], ms_seed=0) == replace(c, ms_seed=0)


def test_comparisons_that_do_not_vary_at_all_leave_the_one_that_does_to_itself():
    found = moderate(family(0.0, 0.0, 1.0))
    assert found["v3"].own_variance and found["v3"].ms_seed == 1.0
    assert found["v1"].ms_seed == 0.0
