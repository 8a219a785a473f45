from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from foveate.compare.statistics.crossed_effects import (
    components,
    half_width,
    interval,
    p_value,
    plain_interval,
    unseen_share,
    with_seeds,
)


def crossed_data(
    seeds: int, items: int, sd_seed: float, sd_item: float, sd_rest: float, rng: int = 0
) -> np.ndarray:
    r = np.random.default_rng(rng)
    return (
        0.3
        + sd_seed * r.normal(size=(seeds, 1))
        + sd_item * r.normal(size=(1, items))
        + sd_rest * r.normal(size=(seeds, items))
    )


def test_mean_squares_equal_the_formulas_written_as_loops():
    d = crossed_data(4, 7, 0.5, 1.0, 1.0)
    seeds, items = d.shape
    g = sum(d[s, i] for s in range(seeds) for i in range(items)) / (seeds * items)
    a = [sum(d[s, i] for i in range(items)) / items for s in range(seeds)]
    c = [sum(d[s, i] for s in range(seeds)) / seeds for i in range(items)]
    rest = sum((d[s, i] - a[s] - c[i] + g) ** 2 for s in range(seeds) for i in range(items)) / (
        (seeds - 1) * (items - 1)
    )
    seed = items * sum((x - g) ** 2 for x in a) / (seeds - 1)
    item = seeds * sum((x - g) ** 2 for x in c) / (items - 1)
    found = components(d)
    assert (found.mean, found.ms_seed, found.ms_item, found.ms_rest) == pytest.approx((g, seed, item, rest))
    assert found.variance == pytest.approx((seed + item - rest) / (seeds * items))
    df = (seed + item - rest) ** 2 / (
        seed**2 / (seeds - 1) + item**2 / (items - 1) + rest**2 / ((seeds - 1) * (items - 1))
    )
    assert found.df == pytest.approx(df)
    half = stats.t.ppf(0.975, df) * np.sqrt(found.variance)
    assert plain_interval(found, 0.95) == pytest.approx((g - half, g + half))


@pytest.mark.parametrize("rng", range(3))
def test_variance_equals_that_of_a_mixed_model(rng: int):
    """REML on balanced crossed data has the same answer in closed form, where no component is negative."""
    formula = pytest.importorskip("statsmodels.formula.api")
    pandas = pytest.importorskip("pandas")
    d = crossed_data(6, 14, 0.8, 1.1, 0.7, rng)
    s, i = np.indices(d.shape)
    frame = pandas.DataFrame({"d": d.ravel(), "seed": s.ravel(), "item": i.ravel(), "all": 1})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = formula.mixedlm(
            "d ~ 1", frame, groups="all", vc_formula={"seed": "0 + C(seed)", "item": "0 + C(item)"}
        ).fit(reml=True)
    c = components(d, span=None)
    assert c.mean == pytest.approx(model.params["Intercept"], abs=1e-6)
    assert np.sqrt(c.variance) == pytest.approx(model.bse["Intercept"], rel=2e-3)
    assert c.ms_rest == pytest.approx(model.scale, rel=2e-3)


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_where_only_seeds_vary_it_is_the_t_interval_on_seed_means(seeds: int):
    d = np.random.default_rng(1).normal(size=(seeds, 1)) + np.zeros((1, 500))
    low, high = interval(components(d, span=None), 0.95)
    want = stats.t.interval(0.95, seeds - 1, d.mean(), stats.sem(d[:, 0]))
    assert (low, high) == pytest.approx(want, rel=2e-4)
    assert p_value(components(d, span=None)) == pytest.approx(stats.ttest_1samp(d[:, 0], 0).pvalue, rel=2e-3)


def test_where_only_items_vary_it_is_the_t_interval_on_items():
    d = np.random.default_rng(1).normal(size=(1, 60)) + np.zeros((4, 1))
    low, high = interval(components(d, span=None), 0.95)
    assert (low, high) == pytest.approx(stats.t.interval(0.95, 59, d.mean(), stats.sem(d[0])), rel=1e-3)


@pytest.mark.parametrize("level", [0.8, 0.95, 0.9875])
def test_p_and_interval_agree(level: float):
    c = components(crossed_data(3, 400, 0.3, 1, 1), span=None)
    assert half_width(c, level) > 0
    moved = components(crossed_data(3, 400, 0.3, 1, 1) - c.mean + half_width(c, level), span=None)
    assert p_value(moved) == pytest.approx(1 - level, rel=1e-6)


def test_it_is_wider_than_the_plain_interval_where_that_forgets_the_seeds():
    c = components(crossed_data(3, 2000, 0.0, 1.0, 0.5, rng=4), span=None)
    assert half_width(c, 0.95) > 1.0 * (plain_interval(c, 0.95)[1] - c.mean)


@settings(max_examples=30)
@given(st.integers(2, 6), st.integers(2, 40), st.integers(0, 10_000))
def test_order_of_seeds_and_items_and_sign_do_not_matter(seeds: int, items: int, rng: int):
    r = np.random.default_rng(rng)
    d = r.integers(-1, 2, (seeds, items)).astype(float)
    low, high = interval(components(d), 0.95)
    shuffled = d[r.permutation(seeds)][:, r.permutation(items)]
    assert interval(components(shuffled), 0.95) == pytest.approx((low, high), abs=1e-9)
    assert interval(components(-d), 0.95) == pytest.approx((-high, -low), abs=1e-9)
    assert -1 <= low <= d.mean() + 1e-12 and d.mean() - 1e-12 <= high <= 1
    assert 0 <= p_value(components(d)) <= 1 + 1e-9


def test_interval_and_p_agree_for_bounded_scores_of_few_items():
    r = np.random.default_rng(0)
    for _ in range(200):
        c = components(r.integers(-1, 2, (3, r.integers(2, 12))).astype(float) * r.integers(0, 2))
        low, high = interval(c, 0.95)
        assert (low > 0 or high < 0) == (p_value(c) < 0.05)


def test_identical_predictions_have_the_rule_of_three():
    low, high = interval(components(np.zeros((3, 1000))), 0.95)
    assert high == -low == pytest.approx(1 - 0.025 ** (1 / 1000))
    assert p_value(components(np.zeros((3, 1000)))) == 1.0
    assert unseen_share(1000, 0.95) == pytest.approx(
        stats.beta.ppf(0.975, 1, 1000)
    )  # Clopper-Pearson at 0 of N


def test_always_right_against_always_wrong_is_the_sign_test():
    c = components(np.ones((3, 8)))
    low, high = interval(c, 0.95)
    assert high == 1.0 and 0 < low < 1
    assert p_value(c) == pytest.approx(stats.binomtest(8, 8).pvalue)
    assert interval(components(np.ones((3, 4))), 0.95)[0] < 0  # four items cannot show it


def test_a_score_without_bounds_that_never_varies_has_no_interval():
    """A corpus metric at its floor in every answer does not show that two models are equal."""
    nothing = components(np.zeros((5, 40)), span=None)
    assert interval(nothing, 0.95) is None and p_value(nothing) is None
    constant = components(np.full((5, 40), 0.3), span=None)
    assert interval(constant, 0.95) is None


def test_one_seed_and_one_item_have_no_interval():
    for shape in ((1, 50), (5, 1), (1, 1)):
        c = components(np.ones(shape))
        assert interval(c, 0.95) is None and p_value(c) is None and not c.defined
        assert np.isfinite(c.mean)


def test_more_seeds_narrow_the_interval_down_to_what_the_items_allow():
    c = components(crossed_data(3, 500, 0.2, 1, 1), span=None)
    widths = [half_width(with_seeds(c, s), 0.95) for s in (3, 4, 6, 12, 50, 1000)]
    assert widths == sorted(widths, reverse=True)
    item_sd = np.sqrt(max(c.ms_item - c.ms_rest, 0) / 3)
    assert widths[-1] == pytest.approx(1.96 * item_sd / np.sqrt(500), rel=0.05)
    assert half_width(with_seeds(c, 3), 0.95) == pytest.approx(half_width(c, 0.95))
