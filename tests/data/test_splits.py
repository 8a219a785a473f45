import numpy as np
import pytest

from foveate.data.splits import cut
from foveate.errors import DataError, OptionError


def test_every_class_is_cut_in_proportion():
    targets = np.repeat([0, 1, 2], [100, 50, 10])
    parts = cut(targets, seed=0, shares=(0.6, 0.2, 0.2))
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(160))
    assert np.bincount(targets[parts["train"]]).tolist() == [60, 30, 6]
    assert np.bincount(targets[parts["val"]]).tolist() == [20, 10, 2]


def test_the_seed_decides():
    targets = np.repeat([0, 1], 50)
    one, again, other = (cut(targets, seed=seed) for seed in (3, 3, 4))
    assert all((one[name] == again[name]).all() for name in one)
    assert not np.array_equal(one["test"], other["test"])


def test_a_share_of_nothing_is_left_out():
    assert set(cut(np.repeat([0, 1], 10), seed=0, shares=(0.8, 0.0, 0.2))) == {"train", "test"}


@pytest.mark.parametrize("size, train, test", [(2, 1, 1), (3, 1, 1), (4, 2, 1)])
def test_small_classes_still_reach_train_and_test(size, train, test):
    targets = np.repeat([0, 1], [50, size])
    parts = cut(targets, seed=0)
    assert (targets[parts["train"]] == 1).sum() == train
    assert (targets[parts["test"]] == 1).sum() == test


def test_groups_stay_whole_and_classes_stay_near_their_shares():
    generator = np.random.default_rng(0)
    groups = generator.integers(0, 120, 2000)
    targets = (groups % 3 + (generator.random(2000) < 0.1)).clip(0, 2)  # a group is nearly one class
    parts = cut(targets, seed=1, shares=(0.6, 0.2, 0.2), groups=[str(group) for group in groups])
    where = [set(groups[items]) for items in parts.values()]
    assert not (where[0] & where[1] or where[0] & where[2] or where[1] & where[2])
    whole = np.bincount(targets)
    for items, share in zip(parts.values(), (0.6, 0.2, 0.2), strict=True):
        np.testing.assert_allclose(np.bincount(targets[items], minlength=3) / whole, share, atol=0.06)


@pytest.mark.parametrize("shares", [(0.5, 0.1, 0.1), (1.2, -0.2, 0.0), (1.0, 0.0, 0.0), (0.5, 0.5)])
def test_impossible_shares_are_told(shares):
    with pytest.raises(OptionError, match="shares"):
        cut(np.repeat([0, 1], 10), seed=0, shares=shares)


def test_too_few_groups_are_told():
    with pytest.raises(DataError, match="groups"):
        cut(np.repeat([0, 1], 10), seed=0, groups=["a"] * 10 + ["b"] * 10)
