"""Pictures of any size to probabilities of theirs: whole as training saw them, or by windows as they are."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

from foveate.data.canvas import fit_image, placed
from foveate.errors import ShapeError
from foveate.segment.augmented import Views
from foveate.segment.segment_picture import segment
from foveate.segment.windows import Tiling
from tests.segment.networks import Local, Pointwise

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
NORMAL = {"mean": MEAN, "std": STD}


def picture(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def normal(image):
    return ((torch.tensor(image).permute(2, 0, 1).float() / 255 - torch.tensor(MEAN).view(3, 1, 1))
            / torch.tensor(STD).view(3, 1, 1))[None]  # fmt: skip


@pytest.mark.parametrize("size", [(30, 40), (31, 64), (64, 31), (7, 9)])
def test_whole_pictures_are_seen_as_training_saw_them(size):
    network, image = Local(), picture(*size)
    found = segment(network, image, size=(24, 32), **NORMAL)
    place = placed(*size, (24, 32))
    inside = network(normal(fit_image(image, (24, 32)))).softmax(1)[(..., *place.box)]
    expected = interpolate(inside, size, mode="bilinear", align_corners=False)[0]
    assert found.shape == (4, *size) and found.dtype == torch.float32 and not found.requires_grad
    assert torch.allclose(found, expected, atol=1e-6)
    assert torch.allclose(found.sum(0), torch.ones(()), atol=1e-6)


def test_a_picture_of_the_canvas_size_is_not_resampled():
    network, image = Local(), picture(24, 32)
    expected = network(normal(image)).softmax(1)[0]
    assert torch.allclose(segment(network, image, size=(24, 32), **NORMAL), expected, atol=1e-6)


def test_windows_see_the_picture_as_it_is():
    network, image = Local(), picture(41, 30)
    found = segment(network, image, size=(24, 32), **NORMAL, tiling=Tiling(16, 0.4, margin=Local.RADIUS))
    assert torch.allclose(found, network(normal(image)).softmax(1)[0], atol=1e-5)


@pytest.mark.parametrize("tiling", [None, Tiling(16, 0.5)])  # windows that lie alike in the mirror
def test_views_are_averaged(tiling):
    image = picture(24, 32)
    settings = {"size": (24, 32), **NORMAL, "tiling": tiling}
    plain, both = (segment(Local(), image, **settings, views=Views(flips)) for flips in ("", "lr"))
    mirrored = segment(Local(), image[:, ::-1], **settings, views=Views("lr")).flip(2)
    assert torch.allclose(both, mirrored, atol=1e-6) and not torch.allclose(both, plain, atol=1e-3)


def test_the_model_is_left_in_its_mode_and_one_output_means_two_classes():
    network = nn.Sequential(nn.Conv2d(3, 1, 1), nn.Dropout(0.9)).train()
    for tiling in (None, Tiling(16)):
        found = segment(network, picture(20, 20), size=(20, 20), **NORMAL, tiling=tiling)
        assert network.training and found.shape == (2, 20, 20)
        expected = network[0](normal(picture(20, 20))).sigmoid()[0, 0]
        assert torch.allclose(found[1], expected, atol=1e-6)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_other_arrays_are_refused(image):
    with pytest.raises(ShapeError, match=r"expected an image uint8 \(H, W, 3\)"):
        segment(Pointwise(), image, size=(8, 8), **NORMAL)
