import numpy as np
import pytest
import torch

from foveate.data.augment.augmentations import augmentations
from foveate.data.batches import eval_batches, train_batches
from foveate.data.cached_split import CachedSplit
from foveate.data.class_numbers import IGNORE
from foveate.errors import OptionError

COUNT, HEIGHT, WIDTH = 30, 36, 48
DARK = 60  # grey levels between the colours of two classes


@pytest.fixture
def split():
    """Each pixel's colour is its class: red = 60 x class, green = row, blue = column."""
    generator = np.random.default_rng(0)
    blocks = generator.integers(0, 4, (COUNT, HEIGHT // 12, WIDTH // 12), dtype=np.uint8)
    masks = np.kron(blocks, np.ones((1, 12, 12), dtype=np.uint8))
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.uint8)
    images = np.stack(
        [masks * DARK, *(np.broadcast_to(axis, masks.shape) for axis in (rows, columns))], axis=1
    )
    return CachedSplit(images, np.zeros(COUNT, dtype=np.int64), tuple(map(str, range(COUNT))), masks)


def batches(split, **options):
    options = {"batch_size": 6, "seed": 3, "epoch": 1, "augment": "none", **options}
    return list(train_batches(split, mean=(0, 0, 0), std=(1, 1, 1), **options))


def together(found):
    images = torch.cat([batch.images for batch in found]).mul(255).round().int().numpy()
    return images, torch.cat([batch.targets for batch in found]).numpy()


@pytest.mark.parametrize("augment", sorted(augmentations))
@pytest.mark.parametrize("crop", [None, 24, (20, 30), (36, 48)])
def test_image_and_mask_move_together(split, augment, crop):
    found = batches(split, augment=augment, crop=crop, rare=0.5)
    shape = (HEIGHT, WIDTH) if crop is None else (24, 24) if crop == 24 else crop
    images, masks = together(found)
    assert images.shape == (COUNT, 3, *shape) and masks.shape == (COUNT, *shape) and masks.dtype == np.int64
    assert all(batch.images.is_contiguous(memory_format=torch.channels_last) for batch in found)
    counts = masks != IGNORE
    right = (np.abs(images[:, 0] - DARK * masks) <= DARK // 2)[counts]
    assert right.mean() > (
        0.93 if augmentations[augment].scales else 1 - 1e-9
    )  # scaling mixes colours at edges
    if not augmentations[augment].scales:  # rows and columns in a run, mirrored or not
        steps = np.diff(images[:, 2], axis=2)[counts[:, :, 1:] & counts[:, :, :-1]]
        assert set(np.abs(steps)) == {1} and (1 in steps)
        assert (-1 in steps) == augmentations[augment].flips


def test_none_is_the_middle_and_everything_if_it_is_all(split):
    images, masks = together(batches(split))
    order = np.concatenate([batch.indices for batch in batches(split)])
    np.testing.assert_array_equal(masks, split.masks[order])
    np.testing.assert_array_equal(images, split.images[order])
    _, middle = together(batches(split, crop=(20, 30)))
    np.testing.assert_array_equal(middle, split.masks[order][:, 8:28, 9:39])


def test_crops_lie_everywhere_and_large_ones_leave_the_canvas_by_an_eighth(split):
    found = [together(batches(split, augment="crop", crop=(20, 30), epoch=epoch))[0] for epoch in range(20)]
    tops, lefts = (np.concatenate([images[:, channel, 0, 0] for images in found]) for channel in (1, 2))
    assert set(tops) == set(range(17)) and set(lefts) == set(range(19))
    ignored = [together(batches(split, augment="crop", epoch=epoch))[1] == IGNORE for epoch in range(5)]
    rows = np.concatenate([each.all(axis=2).sum(axis=1) for each in ignored])
    assert rows.min() == 0 and rows.max() == HEIGHT // 8


def test_scales_go_from_half_to_double(split):
    found = [together(batches(split, augment="resized_crop", crop=(24, 24), epoch=e))[0] for e in range(20)]
    spans = np.concatenate([np.ptp(images[:, 1, 4:20], axis=(1, 2)) for images in found])
    assert spans.min() <= 9 and spans.max() >= 23  # 16 rows show 8 to 32 of the canvas, edges aside


def test_what_lies_outside_is_the_images_mean(split):
    images, masks = together(batches(split, augment="resized_crop"))
    order = np.concatenate([batch.indices for batch in batches(split)])
    outside = masks == IGNORE
    assert outside.any()
    for item, number in enumerate(order):
        if outside[item].any():
            mean = split.images[number].mean(axis=(1, 2)).round()
            assert (np.abs(images[item][:, outside[item]] - mean[:, None]) <= 1).all()


def test_a_sample_is_the_same_in_batches_of_any_size_and_when_resumed(split):
    options = {"augment": "resized_crop", "crop": 24, "rare": 0.5, "colour": 0.4}
    large, small = batches(split, batch_size=30, **options), batches(split, batch_size=5, **options)
    for a, b in zip(together(large), together(small), strict=True):
        np.testing.assert_array_equal(a, b)
    rest = batches(split, batch_size=5, start=4, **options)
    for a, b in zip(together(small[4:]), together(rest), strict=True):
        np.testing.assert_array_equal(a, b)
    other = together(batches(split, batch_size=30, **{**options, "epoch": 2}))
    assert (other[1] != together(large)[1]).mean() > 0.2


def test_rare_classes_are_seen_more_often_and_lie_anywhere_in_the_crop():
    masks = np.zeros((200, 60, 80), dtype=np.uint8)
    masks[:, :, 40:] = 1
    generator = np.random.default_rng(1)
    for mask in masks[::2]:  # 4 pixels in half of the images
        top, left = generator.integers(0, 58), generator.integers(0, 78)
        mask[top : top + 2, left : left + 2] = 2
    split = CachedSplit(
        np.zeros((200, 3, 60, 80), np.uint8), np.zeros(200, np.int64), tuple(map(str, range(200))), masks
    )

    def seen(rare):
        found = together(batches(split, augment="crop", crop=(20, 20), rare=rare, batch_size=50))[1]
        return found == 2

    base, half, always = ((seen(rare)).any(axis=(1, 2)).mean() for rare in (0.0, 0.5, 1.0))
    assert base < 0.12 and 0.25 < half < 0.38 and always > 0.49  # of 0.5 that is possible
    places = np.argwhere(seen(1.0))
    assert places[:, 1].min() <= 1 and places[:, 1].max() >= 18 and np.ptp(places[:, 2]) >= 17
    assert 7 < places[:, 1].mean() < 12


def test_an_image_that_is_ignored_everywhere_is_cropped_all_the_same(split):
    blind = CachedSplit(split.images, split.targets, split.names, np.full_like(split.masks, IGNORE))
    assert (together(batches(blind, augment="crop", crop=20, rare=1.0))[1] == IGNORE).all()


def test_evaluation_is_the_whole_canvas_in_order(split):
    found = list(eval_batches(split, batch_size=7, size=36, mean=(0, 0, 0), std=(1, 1, 1)))
    images, masks = together(found)
    np.testing.assert_array_equal(images, split.images)
    np.testing.assert_array_equal(masks, split.masks)
    assert found[0].targets.dtype == torch.int64


@pytest.mark.parametrize(
    "options, said",
    [
        ({"size": 24}, "canvas of .36, 48."),
        ({"crop": 40}, "does not fit"),
        ({"crop": (0, 5)}, "does not fit"),
        ({"rare": 1.5}, "rare=1.5"),
        ({"colour": -0.1}, "colour=-0.1"),
    ],
)
def test_impossible_options_are_refused_at_the_call(split, options, said):
    with pytest.raises(OptionError, match=said):
        train_batches(split, batch_size=8, seed=0, epoch=0, augment="crop", **options)


def test_labels_have_no_crop_and_nothing_rare(split):
    plain = CachedSplit(split.images[:, :, :, :36], split.targets, split.names)
    with pytest.raises(OptionError, match="for masks"):
        train_batches(plain, batch_size=8, seed=0, epoch=0, augment="crop", crop=20)
