from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, stats

from foveate.compare.statistics.crossed_effects import Components, components, interval
from foveate.compare.statistics.looks import Look
from foveate.compare.statistics.outlook import (
    MORE_LIKELY_THAN_NOT,
    chance_of_verdict,
    chance_worth,
    items_to_know,
    seeds_to_know,
)
from foveate.compare.statistics.power import tells

FEW = Components(0.8, 3, 400, 200.0, 0.0, 0.0, 2, span=None)


def test_the_chance_equals_that_of_studies_continued_by_hand():
    """Seeds drawn one study at a time, and judged by the interval itself."""
    r = np.random.default_rng(0)
    d = 0.8 + 2.5 * r.normal(size=(3, 1)) + 2 * r.normal(size=(1, 400)) + np.zeros((3, 400))
    c, looks, margin = components(d, span=None), [Look(5, 0.95), Look(9, 0.95)], 1.0
    studies, hits = 400, 0
    for _ in range(studies):
        sd = np.sqrt(c.ms_seed / c.items / (r.chisquare(2) / 2))
        limit = c.mean + sd / np.sqrt(3) * r.normal()
        new = limit + sd * r.normal(size=(6, 1)) + d.mean(axis=0) - d.mean()
        longer = np.concatenate([d, new])
        ends = [interval(components(longer[: look.seeds], span=None), look.level) for look in looks]
        hits += any(tells(e, margin) for e in ends if e is not None)
    chance = chance_of_verdict(c, looks, margin)
    assert 0.2 < chance < 0.8
    low, high = stats.binom.interval(0.9999, studies, chance)
    assert low <= hits <= high


def test_the_chance_is_the_same_in_every_call_and_grows_with_looks_and_margin():
    once, twice = (chance_of_verdict(FEW, [Look(8, 0.99)], 1.0) for _ in range(2))
    assert once == twice
    assert once <= chance_of_verdict(FEW, [Look(5, 0.99), Look(8, 0.99)], 1.0)
    chances = [chance_of_verdict(replace(FEW, mean=0.0), [Look(8, 0.99)], m) for m in (0.1, 1.0, 3.0, 30.0)]
    assert chances == sorted(chances) and chances[-1] > 0.99 and chances[0] < 0.1


def test_only_later_looks_that_may_give_a_verdict_count():
    assert chance_of_verdict(FEW, [], 1.0) == 0
    assert chance_of_verdict(FEW, [Look(2, 0.5), Look(3, 0.5)], 30.0) == 0
    two = replace(FEW, seeds=2, seed_df=1)
    assert chance_of_verdict(replace(two, seeds=1, seed_df=0), [Look(3, 0.5)], 1.0) == 1
    assert 0 < chance_of_verdict(two, [Look(3, 0.5)], 30.0) <= 1


def test_bounded_scores_of_few_items_cannot_be_decided_by_seeds():
    """Twenty identical predictions leave room for a share of 17 % that differs."""
    same = components(np.zeros((3, 20)))
    assert chance_of_verdict(same, [Look(20, 0.95)], 0.05) == 0
    assert chance_of_verdict(components(np.zeros((3, 2000))), [Look(20, 0.95)], 0.05) == 1


@pytest.mark.parametrize(
    ("mean", "square", "reachable"), [(0.0, 200.0, True), (0.8, 2000.0, False), (3.0, 200.0, True)]
)
def test_seeds_to_know_is_the_least_number_with_that_chance(mean: float, square: float, reachable: bool):
    c = replace(FEW, mean=mean, ms_seed=square)
    chances = {s: chance_of_verdict(c, [Look(s, 0.95)], 1.0) for s in range(4, 21)}
    found = seeds_to_know(c, 0.95, 1.0)
    assert found == min((s for s, chance in chances.items() if chance >= 0.8), default=None)
    assert (found is not None) == reachable


def test_seeds_to_know_is_none_where_seeds_will_not_do():
    assert seeds_to_know(replace(FEW, ms_seed=1e6), 0.95, 1.0) is None  # runs differ too much
    assert seeds_to_know(replace(FEW, mean=0.5, ms_seed=1.0, ms_item=900.0), 0.95, 1.0) is None  # items
    assert seeds_to_know(replace(FEW, seeds=1, seed_df=0), 0.95, 1.0) is None
    assert seeds_to_know(replace(FEW, seeds=20, seed_df=19), 0.95, 1.0) is None
    assert seeds_to_know(replace(FEW, mean=30.0, seeds=2, seed_df=1), 0.95, 1.0, chance=0.5) == 3


@pytest.mark.parametrize("mean", [0.0, 0.5, 0.9])
def test_items_to_know_decides_8_of_10_test_sets_extended_by_hand(mean: float):
    """More items drawn one test set at a time, and judged by the interval itself."""
    r = np.random.default_rng(1)
    seeds, items, margin = 3, 200, 1.0
    seed = r.normal(size=(seeds, 1))
    seed = 0.1 * (seed - seed.mean()) / seed.std(ddof=1)

    def more(count: int) -> np.ndarray:
        return 9 * r.normal(size=(1, count)) + r.normal(size=(seeds, count))

    d = mean + seed + more(items)
    d += mean - d.mean()
    c = components(d, span=None)
    assert seeds_to_know(c, 0.95, margin) is None
    found = items_to_know(c, 0.95, margin)
    assert found is not None and found > items
    studies, hits = 200, 0
    for _ in range(studies):
        others = mean + np.sqrt(c.ms_item / seeds / items) * r.normal() + seed + more(found - items)
        ends = interval(components(np.concatenate([d, others], axis=1), span=None), 0.95)
        hits += ends is not None and tells(ends, margin)
    assert stats.binom.cdf(hits, studies, 0.8) > 1e-3


def test_items_to_know_is_none_where_items_will_not_do():
    assert items_to_know(replace(FEW, ms_seed=1e6), 0.95, 1.0) is None  # runs differ too much
    assert items_to_know(replace(FEW, seeds=2, seed_df=1), 0.95, 1.0) is None


def test_identical_answers_take_the_items_that_bound_what_was_not_seen():
    """Three in a thousand that nobody saw: the rule of three."""
    assert items_to_know(components(np.zeros((3, 20))), 0.95, 0.01) == int(
        np.ceil(np.log(40) / -np.log(0.99))
    )


@pytest.mark.parametrize("mean", [-3.0, 0.1, 0.9, 2.0])
@pytest.mark.parametrize("se", [0.3, 0.9])
def test_chance_worth_equals_the_posterior_by_integration(mean: float, se: float):
    margin = 0.5

    def posterior(gain: float) -> float:
        nil, slab = (stats.norm.pdf(gain, scale=sd * margin) for sd in (0.2, 3.0))
        return float((0.6 * nil + 0.4 * slab) * stats.norm.pdf(mean, gain, se))

    points = [-0.5, 0.0, 0.5]
    whole = integrate.quad(posterior, -9, 9, points=points, limit=200)[0]
    above = integrate.quad(posterior, margin, 9, points=[1.0, 2.0], limit=200)[0]
    want = above / whole if se <= margin else min(above / whole, MORE_LIKELY_THAN_NOT)
    assert chance_worth(mean, se, margin) == pytest.approx(want, abs=1e-6)


def test_chance_worth_at_the_ends_of_its_range():
    assert chance_worth(1.0, 0.3, 0.0) is None
    assert chance_worth(2.0, 0.0, 1.0) == 1 and chance_worth(0.5, 0.0, 1.0) == 0
    assert chance_worth(1e6, 0.1, 1.0) == 1 and chance_worth(-1e6, 0.1, 1.0) == 0
    assert chance_worth(50.0, 1.01, 1.0) == MORE_LIKELY_THAN_NOT < chance_worth(50.0, 0.99, 1.0)
