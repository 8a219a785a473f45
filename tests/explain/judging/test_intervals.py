"""Intervals keep what they promise, and the sentence says what the interval says."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multinomial, t, ttest_1samp
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint
from torch import nn

from foveate.explain.judging.comparison import Comparison, Pair, compare
from foveate.explain.judging.grids import on_grid, resolution
from foveate.explain.judging.intervals import resample
from foveate.explain.judging.judge import judge
from foveate.explain.judging.paired_rate import exact_paired, exact_rate


@pytest.mark.parametrize(("hits", "count"), [(0, 7), (3, 11), (40, 40), (160, 200)])
def test_one_rate_is_clopper_and_pearsons(hits, count):
    expected = proportion_confint(hits, count, alpha=0.05, method="beta")
    assert exact_rate(hits, count, 0.95) == pytest.approx(expected, abs=1e-9)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("p", "q", "n"),
    [
        (0.3, 0.1, 6),
        (0.02, 0.0, 8),
        *(pytest.param(p, q, 12, marks=SLOW) for p, q in ((0.1, 0.1), (0.3, 0.1), (0.45, 0.4))),
    ],
)
def test_the_paired_interval_holds_the_truth_often_enough(p, q, n):
    """All tables of n pictures, each with its probability: the chance to hold is known, not simulated."""
    level, held = 0.9, 0.0
    for b in range(n + 1):
        for c in range(n + 1 - b):
            chance = multinomial.pmf([b, c, n - b - c], n, [p, q, 1 - p - q])
            if chance > 1e-4:
                low, high = exact_paired(b, c, n, level)
                held += chance * (low <= p - q <= high)
            else:
                held += chance  # too rare to matter
    assert held >= level - 1e-3


def test_the_paired_interval_is_symmetric_and_as_wide_as_expected():
    low, high = exact_paired(40, 10, 200, 0.95)
    assert exact_paired(10, 40, 200, 0.95) == pytest.approx((-high, -low), abs=2e-3)
    wald = 1.96 * math.sqrt(50 - 900 / 200) / 200
    assert low < 0.15 < high and high - low == pytest.approx(2 * wald, rel=0.12)
    assert exact_paired(0, 0, 50, 0.95)[1] > 0.04, "no difference seen on 50 pictures is no proof of none"
    assert low > 0 and exact_paired(5, 4, 200, 0.95)[0] < 0


def test_the_bootstrap_of_normal_values_is_students():
    values = np.random.default_rng(3).normal(0.4, 1, 25)
    low, high = resample(values).interval(0.95)
    half = t.ppf(0.975, 24) * values.std(ddof=1) / 5
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.05 * half)
    assert resample(values).interval(0.95) == (low, high)
    assert all(math.isnan(end) for end in resample(values[:1]).interval(0.95))


def test_pictures_are_drawn_within_their_class():
    values, groups = np.r_[np.zeros(10), np.ones(10)], np.repeat([0, 1], 10)
    low, high = resample(values, groups).interval(0.95)
    assert low == high == 0.5, "without a spread inside the classes there is none"
    low, high = resample(values).interval(0.95)
    assert high - low > 0.3
    lonely = resample(np.arange(4.0), np.arange(4)).interval(0.95)
    assert lonely[0] < lonely[1], "classes of one picture are one stratum"


def test_holm():
    generator = np.random.default_rng(0)
    means = (0.9, 0.05, 0.42, 0.38, -0.6)
    pairs = [
        Pair("m", "a", str(i), str(i), generator.normal(mean, 1, 60), np.zeros(60), "higher")
        for i, mean in enumerate(means)
    ]
    found = compare(pairs)
    p = [ttest_1samp(pair.first, 0).pvalue for pair in pairs]
    rejected = multipletests(p, 0.05, method="holm")[0]
    assert [one.answer != "not decided" for one in found] == rejected.tolist()
    levels = sorted(one.level for one in found)
    assert levels[-1] == pytest.approx(1 - 0.05 / 5) and levels[0] == pytest.approx(
        1 - 0.05 / (5 - rejected.sum())
    )
    assert found[4].answer == "no" and found[0].answer == "yes"


def test_lower_is_better_and_missing_pictures_are_paired():
    first, second = np.array([0.1, 0.2, 0.3, np.nan]), np.array([0.5, 0.7, 0.6, 0.1])
    (found,) = compare([Pair("deletion", "a", "b", "b", first, second, "lower")])
    assert found.mean == pytest.approx(0.4) and found.pictures == 3 and not found.exact
    hits = np.array([1.0, 0, 1, 1])
    (found,) = compare([Pair("pointing", "a", "b", "b", hits, np.zeros(4), "higher", hits=True)])
    assert found.exact and found.mean == 0.75
    thirds = np.array([1 / 3, 0, 1, 1])
    (found,) = compare([Pair("pointing", "a", "b", "b", thirds, np.zeros(4), "higher", hits=True)])
    assert not found.exact, "the mean of several draws is no hit"


@pytest.mark.parametrize(
    ("low", "high", "sentence"),
    [
        (0.1234, 0.1811, "better than the centre of the picture: yes, by 0.12 to 0.18"),
        (-0.3, -0.021, "better than the centre of the picture: no, worse by 0.021 to 0.30"),
        (-0.02, 0.25, "better than the centre of the picture: not decided, −0.02 to 0.25"),
    ],
)
def test_the_sentence(low, high, sentence):
    one = Comparison("energy", "a", "centre", "the centre of the picture", 0.1, low, high, 0.99, 50, False)
    assert str(one) == sentence


@pytest.mark.slow
def test_a_random_map_is_seldom_better_than_another_random_map():
    class Bright(nn.Module):
        def forward(self, x):
            return torch.stack([x.mean(dim=(1, 2, 3)), x[:, :, :4].mean(dim=(1, 2, 3)) * 2], dim=1) * 8

    answered = 0
    for study in range(60):
        generator = torch.Generator().manual_seed(study)
        x, maps = (torch.rand(30, *shape, generator=generator) for shape in ((3, 8, 8), (8, 8)))
        masks = torch.rand(30, 8, 8, generator=generator) < 0.3
        found = judge(
            Bright(), x, maps, ["deletion(steps=4)", "energy"], masks, baselines=("random",), seed=study
        )
        answered += any(one.answer != "not decided" for one in found.beats("random", "energy"))
    assert answered <= 7  # 3 expected; 8 or more of 60 have a chance of 1 % at an error of 5 %


@pytest.mark.parametrize("grid", [(1, 1), (3, 3), (4, 2), (7, 5)])
def test_the_resolution_of_a_map_is_measured(grid):
    small = torch.rand(3, 1, *grid, generator=torch.Generator().manual_seed(0))
    large = torch.nn.functional.interpolate(small, size=(20, 15), mode="bilinear", align_corners=False)[:, 0]
    assert resolution(large) == grid
    assert resolution(torch.rand(3, 20, 15, generator=torch.Generator().manual_seed(1))) == (20, 15)
    assert torch.equal(on_grid(large, grid), large), "a map that is no finer stays as it is"
    fine = torch.rand(3, 20, 15, generator=torch.Generator().manual_seed(1))
    assert resolution(on_grid(fine, grid)) == grid


def test_all_maps_are_brought_to_the_grid_of_the_coarsest():
    small = torch.rand(4, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    coarse = torch.nn.functional.interpolate(small, size=(12, 12), mode="bilinear")[:, 0]
    fine = torch.rand(4, 12, 12, generator=torch.Generator().manual_seed(1))
    model, x = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), torch.rand(4, 3, 12, 12)
    found = judge(model, x, {"coarse": coarse, "fine": fine}, "gini", baselines=("edges",))
    assert found.grid == (3, 3) and "All maps are brought to 3 x 3 cells." in found.notes()
    as_it_is = judge(model, x, {"coarse": coarse, "fine": fine}, "gini", baselines=("edges",), grid=None)
    assert np.array_equal(found["gini", "coarse"].each, as_it_is["gini", "coarse"].each)
    for name in ("fine", "edges"):
        assert found["gini", name].mean < as_it_is["gini", name].mean
