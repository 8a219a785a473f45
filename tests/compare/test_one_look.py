"""Differences of a study that is looked at once, after all its seeds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from foveate.compare.statistics.crossed_effects import components, interval
from foveate.compare.statistics.looks import Look, decide


def study(variants: int = 3, seeds: int = 3, items: int = 200, rng: int = 0) -> dict[str, np.ndarray]:
    r = np.random.default_rng(rng)
    chance = np.clip(0.7 + 0.3 * r.normal(size=items), 0, 1) + 0.02 * r.normal(size=(variants + 1, seeds, 1))
    y = (r.random((variants + 1, seeds, items)) < chance).astype(float)
    return {"baseline": y[0]} | {f"v{m}": y[m] for m in range(1, variants + 1)}


def differences(scores: dict[str, np.ndarray], level: float = 0.95, **options):
    """Return the differences of a study with one look, after all its seeds."""
    variants = {k: v for k, v in scores.items() if k != "baseline"}
    single = 1 - (1 - level) / max(len(variants), 1)
    looks = {name: [Look(len(y), single)] for name, y in variants.items()}
    against = dict.fromkeys(variants, scores["baseline"])
    found = decide(against, variants, looks, alpha=1 - level, **options)
    return {name: decision.difference for name, decision in found.items()}


def assert_same(a, b):
    for field in a.__dataclass_fields__:
        one, other = getattr(a, field), getattr(b, field)
        same = one == other if one is None else one == pytest.approx(other, rel=1e-6, abs=1e-9)
        assert same, field


def test_order_names_seeds_and_items_do_not_change_a_verdict():
    scores = study()
    first = differences(scores)
    backwards = differences(dict(reversed(scores.items())))
    r = np.random.default_rng(1)
    s, i = r.permutation(3), r.permutation(200)
    shuffled = differences({k: v[s][:, i] for k, v in scores.items()})
    renamed = differences({("x" + k if k != "baseline" else k): v for k, v in scores.items()})
    for name, d in first.items():
        assert_same(d, backwards[name])
        assert_same(d, shuffled[name])
        assert_same(d, renamed["x" + name])


def test_two_half_studies_merged_are_the_whole():
    scores = study(seeds=6)
    merged = {k: np.concatenate([v[3:], v[:3]]) for k, v in scores.items()}
    for name, d in differences(scores).items():
        assert_same(d, differences(merged)[name])


def test_a_single_variant_is_not_corrected():
    scores = study(variants=1)
    d = differences(scores)["v1"]
    c = components(scores["v1"] - scores["baseline"])
    assert (d.low, d.high) == pytest.approx(interval(c, 0.95))
    assert d.p == d.p_adjusted
    assert d.df == pytest.approx(c.df)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_adjusted_p_is_below_alpha_exactly_if_the_interval_excludes_zero(level: float):
    for rng in range(8):
        for d in differences(study(variants=2, seeds=3, rng=rng), level=level).values():
            assert d.low is not None and d.high is not None and d.p_adjusted is not None
            assert (d.low > 0 or d.high < 0) == (d.p_adjusted < 1 - level)
            assert d.level == pytest.approx(1 - (1 - level) / 2)


def test_degenerate_studies_have_defined_answers():
    right, wrong = np.ones((3, 50)), np.zeros((3, 50))
    same = differences({"baseline": right, "a": right, "b": right})["a"]
    assert same.mean == 0 and same.low == -same.high and same.pairing == 1.0 and same.p_adjusted == 1.0
    better = differences({"baseline": wrong, "a": right})["a"]
    assert better.mean == 1 and better.low > 0.5 and better.p < 1e-9
    one = differences({"baseline": wrong[:1], "a": right[:1]})["a"]
    assert one.mean == 1 and one.low is None and one.p is None and one.seeds_to_know is None
    two = differences({"baseline": wrong[:2], "a": right[:2]})["a"]
    assert two.low is not None and two.detectable is None
    item = differences({"baseline": wrong[:, :1], "a": right[:, :1]})["a"]
    assert item.mean == 1 and item.low is None
    assert differences({"baseline": right}) == {}


def test_p_of_a_family_is_the_t_test_on_seed_means_where_only_seeds_vary():
    means = np.random.default_rng(3).normal(size=(4, 1)) + np.zeros((1, 300))
    d = differences({"baseline": np.zeros((4, 300)), "a": means}, span=None)["a"]
    assert d.p == pytest.approx(stats.ttest_1samp(means[:, 0], 0).pvalue, rel=2e-3)
