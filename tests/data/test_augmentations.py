import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as geometry

from foveate.data.augment.augmentations import DRAWS, Augmentation, augmentations
from foveate.errors import UnknownNameError

IMAGES = torch.arange(2 * 3 * 16 * 16, dtype=torch.int64).remainder(251).to(torch.uint8).reshape(2, 3, 16, 16)


def draws(**values):
    """One row of draws for both images; ``d2=0.7`` sets draw 2."""
    table = np.full((2, DRAWS), 0.5)
    for name, value in values.items():
        table[:, int(name[1:])] = value
    return table


@pytest.mark.parametrize("name", sorted(augmentations))
@pytest.mark.parametrize("size", [16, 12, 7])
def test_size_and_type_are_as_promised_and_the_input_is_left_alone(name, size):
    images, table = IMAGES.clone(), np.random.default_rng(0).random((2, DRAWS))
    out = augmentations[name](images, table, size)
    assert out.shape == (2, 3, size, size) and out.dtype == torch.uint8
    assert torch.equal(images, IMAGES)


@pytest.mark.parametrize("name", sorted(augmentations))
def test_images_do_not_mix_and_order_does_not_matter(name):
    table = np.random.default_rng(1).random((2, DRAWS))
    together = augmentations[name](IMAGES, table, 12)
    for item in range(2):
        alone = augmentations[name](IMAGES[item : item + 1], table[item : item + 1], 12)
        assert torch.equal(alone[0], together[item])


def test_none_is_the_image_or_its_middle():
    assert torch.equal(augmentations["none"](IMAGES, draws(), 16), IMAGES)
    assert torch.equal(augmentations["none"](IMAGES, draws(), 12), IMAGES[:, :, 2:14, 2:14])


def test_flip_mirrors_by_its_draw():
    assert torch.equal(augmentations["flip"](IMAGES, draws(d2=0.4), 16), IMAGES.flip(3))
    assert torch.equal(augmentations["flip"](IMAGES, draws(d2=0.6), 16), IMAGES)


@pytest.mark.parametrize("down, right", [(0.0, 0.0), (0.999, 0.0), (0.3, 0.8)])
def test_crop_equals_padding_and_cutting(down, right):
    padded = torch.nn.functional.pad(IMAGES, (2, 2, 2, 2))  # an eighth of 16
    top, left = int(down * 5), int(right * 5)
    wanted = padded[:, :, top : top + 16, left : left + 16]
    assert torch.equal(augmentations["crop"](IMAGES, draws(d0=down, d1=right), 16), wanted)
    assert torch.equal(
        augmentations["crop_flip"](IMAGES, draws(d0=down, d1=right, d2=0.1), 16), wanted.flip(3)
    )


def test_a_crop_of_larger_images_needs_no_padding():
    wanted = IMAGES[:, :, 4:16, 0:12]
    assert torch.equal(augmentations["crop"](IMAGES, draws(d0=0.99, d1=0.0), 12), wanted)


def test_resized_crop_equals_torchvision_at_the_same_box():
    whole = augmentations["resized_crop"](IMAGES, draws(d2=0.9, d3=1.0, d4=0.5), 8)
    assert torch.equal(whole, geometry.resize(IMAGES, [8, 8], antialias=True))
    area = 16**2 * (0.35 + 0.65 * 0.2)
    side = round(area**0.5)
    top, left = int(0.7 * (17 - side)), int(0.2 * (17 - side))
    got = augmentations["resized_crop"](IMAGES, draws(d0=0.7, d1=0.2, d2=0.9, d3=0.2, d4=0.5), 8)
    assert torch.equal(got, geometry.resized_crop(IMAGES, top, left, side, side, [8, 8], antialias=True))


def test_resized_crop_stays_inside_whatever_the_draws():
    table = np.random.default_rng(2).random((500, DRAWS))
    table[:4] = [[0] * 6, [0.9999] * 6, [0, 0, 0, 0.9999, 0, 0], [0.9999, 0.9999, 0, 0.9999, 0.9999, 0]]
    assert augmentations["resized_crop"](IMAGES[:1].expand(500, -1, -1, -1), table, 9).shape == (500, 3, 9, 9)


def test_a_wrong_name_gets_near_ones():
    with pytest.raises(UnknownNameError, match="crop_flip"):
        augmentations["crop_flp"]


def test_what_does_not_shift_stays_in_the_middle():
    zoomed = [Augmentation(scales=True)(IMAGES, draws(d0=d, d1=1 - d, d3=0.2, d4=0.5), 8) for d in (0.1, 0.9)]
    assert torch.equal(*zoomed)
