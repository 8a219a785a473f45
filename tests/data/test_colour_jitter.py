import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as torchvision

from foveate.data.augment.colour_jitter import tinted
from tests.data.image_samples import pixels

DRAWS = np.random.default_rng(0).random((6, 3))


@pytest.fixture
def images():
    return np.stack([pixels(number) // 2 + 60 for number in range(6)])  # nothing is clipped on the way


def test_it_is_torchvisions_brightness_contrast_and_saturation_in_turn(images):
    out = tinted(images, DRAWS, 0.3)
    for image, found, draws in zip(images, out, DRAWS, strict=True):
        wanted = torch.from_numpy(image).permute(2, 0, 1).double() / 255
        factors = 1 + 0.3 * (2 * draws - 1)
        wanted = torchvision.adjust_brightness(wanted, factors[0])
        wanted = torchvision.adjust_contrast(wanted, factors[1])
        wanted = torchvision.adjust_saturation(wanted, factors[2])
        np.testing.assert_allclose(found, wanted.permute(1, 2, 0).numpy() * 255, atol=0.6)


def test_a_strength_of_nothing_changes_nothing(images):
    np.testing.assert_array_equal(tinted(images, DRAWS, 0.0), images)


def test_colours_stay_in_range(images):
    bright = tinted(np.full_like(images, 250), np.full((6, 3), 0.999), 1.0)
    assert bright.dtype == np.uint8 and bright.min() == 255
