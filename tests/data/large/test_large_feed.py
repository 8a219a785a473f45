"""The feed of large pictures: what an epoch shows follows from seed and epoch, from wherever it resumes."""

import pytest
import torch

from foveate.data.large.large_feed import LargeFeed
from foveate.data.megapixel.open_megapixel import megapixel
from foveate.errors import OptionError
from foveate.recipe import TrainConfig


@pytest.fixture(scope="module")
def split():
    return megapixel(size=500, train=10, test=1).splits["train"]


def seen(feed, **options):
    return [
        (batch.indices.tolist(), batch.targets.tolist(), batch.images.overview(0.1))
        for batch in feed.train(batch_size=3, seed=1, epoch=2, **options)
    ]


def same(one, other):
    return one[:2] == other[:2] and torch.equal(one[2], other[2])


@pytest.mark.parametrize("augment", ["none", "flip"])
def test_an_epoch_resumes_where_it_was_stopped(split, augment):
    feed = LargeFeed(split, TrainConfig(augment=augment))
    whole, rest = seen(feed), seen(feed, start=1)
    assert len(whole) == 3
    assert len({item for items, _, _ in whole for item in items}) == 9
    assert all(same(*pair) for pair in zip(whole[1:], rest, strict=True))
    for items, targets, _ in whole:
        assert targets == split.targets[items].tolist()


def test_about_half_of_the_pictures_are_mirrored_in_training_and_none_in_testing(split):
    plain, flipped = (LargeFeed(split, TrainConfig(augment=augment)) for augment in ("none", "flip"))
    mirrored = 0
    for (items, _, one), (others, _, two) in zip(seen(plain), seen(flipped), strict=True):
        assert items == others
        for before, after in zip(one, two, strict=True):
            assert torch.equal(after, before) or torch.equal(after, before.flip(2))
            mirrored += torch.equal(after, before.flip(2))
    assert 0 < mirrored < 9
    for one, two in zip(plain.test(4), flipped.test(4), strict=True):
        assert torch.equal(one.images.overview(0.1), two.images.overview(0.1))
    assert [len(batch) for batch in plain.test(4)] == [4, 4, 2]


def test_the_next_batch_is_read_ahead_at_the_scales_that_were_asked_for(split):
    batches = LargeFeed(split, TrainConfig(augment="none")).test(4)
    first = next(batches)
    first.images.overview(0.1)
    second, third = next(batches), next(batches)
    assert not second.images._ahead  # made before anything was asked for
    assert list(third.images._ahead) == [0.1]


@pytest.mark.parametrize("recipe", [{"augment": "crop"}, {"augment": "resized_crop"}, {"colour": 0.1}])
def test_augmentation_that_takes_the_whole_picture_is_refused(split, recipe):
    with pytest.raises(OptionError, match=next(iter(recipe))):
        LargeFeed(split, TrainConfig(**({"augment": "flip"} | recipe)))
    with pytest.raises(OptionError, match="Start within"):
        LargeFeed(split, TrainConfig(augment="flip")).train(batch_size=3, seed=0, epoch=0, start=9)
