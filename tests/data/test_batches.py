import numpy as np
import pytest
import torch

from foveate.data.augment.augmentations import augmentations
from foveate.data.batches import epoch_order, eval_batches, steps_per_epoch, train_batches
from foveate.data.cached_split import CachedSplit
from foveate.errors import OptionError, UnknownNameError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture
def split():
    images = np.random.default_rng(0).integers(0, 256, (50, 16, 16, 3), dtype=np.uint8)
    return CachedSplit(images.transpose(0, 3, 1, 2), np.arange(50) % 7, tuple(map(str, range(50))))


def train(split, **options):
    options = {"batch_size": 8, "seed": 3, "epoch": 2, "augment": "crop_flip", **options}
    return list(train_batches(split, **options))


def by_sample(batches):
    return {
        int(index): image
        for batch in batches
        for index, image in zip(batch.indices, batch.images, strict=True)
    }


def test_evaluation_is_every_image_in_order_normalised(split):
    batches = list(eval_batches(split, batch_size=16, mean=MEAN, std=STD))
    assert [len(batch) for batch in batches] == [16, 16, 16, 2]
    images = torch.cat([batch.images for batch in batches])
    wanted = (split.images / 255 - np.array(MEAN)[:, None, None]) / np.array(STD)[:, None, None]
    np.testing.assert_allclose(images.numpy(), wanted, atol=2e-6)
    assert torch.cat([batch.indices for batch in batches]).tolist() == list(range(50))
    assert torch.cat([batch.targets for batch in batches]).tolist() == split.targets.tolist()
    assert all(batch.images.is_contiguous(memory_format=torch.channels_last) for batch in batches)
    assert {batch.images.dtype for batch in batches} == {torch.float32}


def test_evaluation_at_a_smaller_size_is_the_middle(split):
    (batch,) = eval_batches(split, batch_size=50, size=10)
    np.testing.assert_allclose(batch.images.numpy(), split.images[:, :, 3:13, 3:13] / 127.5 - 1, atol=1e-6)


@pytest.mark.parametrize("augment", sorted(augmentations))
def test_training_batches_have_form_order_and_the_right_labels(split, augment):
    batches = train(split, augment=augment, size=12)
    assert [tuple(batch.images.shape) for batch in batches] == [(8, 3, 12, 12)] * 6
    assert all(batch.images.is_contiguous(memory_format=torch.channels_last) for batch in batches)
    indices = torch.cat([batch.indices for batch in batches])
    assert len(set(indices.tolist())) == 48
    assert indices.tolist() == epoch_order(50, 3, 2)[:48].tolist()
    assert torch.cat([batch.targets for batch in batches]).tolist() == (indices % 7).tolist()


@pytest.mark.parametrize("augment", sorted(augmentations))
def test_a_sample_is_the_same_in_batches_of_any_size(split, augment):
    small, large = (by_sample(train(split, augment=augment, batch_size=size, size=12)) for size in (1, 25))
    assert small.keys() == large.keys() and len(small) == 50
    assert all(torch.equal(small[index], large[index]) for index in small)


def test_seed_and_epoch_decide_and_nothing_else(split):
    torch.manual_seed(0)
    one = train(split)
    torch.manual_seed(1)
    np.random.default_rng().random(5)
    again = train(split)
    assert all(
        torch.equal(a.images, b.images) and torch.equal(a.indices, b.indices)
        for a, b in zip(one, again, strict=True)
    )
    for other in (train(split, seed=4), train(split, epoch=3)):
        assert other[0].indices.tolist() != one[0].indices.tolist()
        left, right = by_sample(one), by_sample(other)
        same = [torch.equal(left[index], right[index]) for index in left.keys() & right.keys()]
        assert np.mean(same) < 0.3  # not only the order changed


def test_a_resumed_epoch_is_the_rest_of_it(split):
    whole, rest = train(split), train(split, start=4)
    assert len(rest) == 2
    assert all(torch.equal(a.images, b.images) for a, b in zip(whole[4:], rest, strict=True))
    assert train(split, start=6) == []


def test_a_small_set_is_one_batch(split):
    assert [len(batch) for batch in train(split, batch_size=64)] == [50]
    assert [steps_per_epoch(items, 8) for items in (0, 5, 8, 15, 16)] == [0, 1, 1, 1, 2]


def test_batches_can_be_changed_and_the_cache_cannot(split):
    before = split.images.copy()
    for batch in [*train(split, augment="none"), *eval_batches(split, batch_size=8)]:
        batch.images.zero_()
    np.testing.assert_array_equal(split.images, before)


@pytest.mark.parametrize(
    "options, said",
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"size": 20}, "cached at 16"),
        ({"start": 7}, "start=7"),
        ({"size": 0}, "size=0"),
    ],
)
def test_impossible_options_are_refused_at_the_call(split, options, said):
    with pytest.raises(OptionError, match=said):
        train_batches(split, **{"batch_size": 8, "seed": 0, "epoch": 0, "augment": "none", **options})


def test_an_unknown_augmentation_is_told_at_the_call(split):
    with pytest.raises(UnknownNameError, match="augmentation"):
        train_batches(split, batch_size=8, seed=0, epoch=0, augment="cropp")
