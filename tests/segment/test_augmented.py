"""Views are undone exactly, counted once, and averaged as probabilities."""

import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

from foveate.errors import OptionError, ShapeError
from foveate.segment.augmented import Views, augmented
from tests.segment.networks import Local, Pointwise

IMAGES = torch.rand(2, 3, 11, 14, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "views",
    [
        {"flips": ""},
        {"flips": "lr"},
        {"flips": "ud"},
        {"flips": "lr,ud", "rotations": (0, 90, 180, 270)},
        {"flips": "", "rotations": (90,)},
        {"flips": "ud", "rotations": (-90, 270)},
    ],
)
def test_a_network_that_commutes_with_the_views_says_the_same(views):
    network = Pointwise()
    plain = network(IMAGES).softmax(1)
    assert torch.allclose(augmented(network, IMAGES, **views), plain, atol=1e-6)


def test_one_view_alone_is_undone_exactly():
    network = Local()
    for turns in range(4):
        found = augmented(network, IMAGES, flips="", rotations=(90 * turns,))
        by_hand = torch.rot90(network(torch.rot90(IMAGES, turns, (2, 3))), -turns, (2, 3)).softmax(1)
        assert torch.allclose(found, by_hand, atol=1e-6)


def test_up_and_down_is_up_and_down():
    network = Local()
    by_hand = (network(IMAGES).softmax(1) + network(IMAGES.flip(2)).softmax(1).flip(2)) / 2
    assert torch.allclose(augmented(network, IMAGES, flips="ud"), by_hand, atol=1e-6)


def test_mean_of_probabilities_of_flips_and_scales():
    network, expected = Local(), []
    for scale in (0.5, 1, 1.5):
        size = (round(11 * scale), round(14 * scale))
        for flipped in (False, True):
            x = IMAGES.flip(3) if flipped else IMAGES
            small = x if scale == 1 else interpolate(x, size, mode="bilinear", antialias=scale < 1)
            logits = network(small)
            logits = logits if scale == 1 else interpolate(logits, (11, 14), mode="bilinear")
            expected.append(logits.softmax(1).flip(3) if flipped else logits.softmax(1))
    found = augmented(network, IMAGES, flips="lr", scales=(0.5, 1, 1.5))
    assert torch.allclose(found, torch.stack(expected).mean(0), atol=1e-6)
    assert torch.allclose(found.sum(1), torch.ones(()), atol=1e-6)


def test_views_that_are_the_same_count_once():
    assert len(Views()) == 1
    assert len(Views("lr,ud")) == 4
    assert len(Views("lr,ud", rotations=(0, 90, 180, 270))) == 8  # all of a square
    assert len(Views("lr", (1.0, 0.5, 1.0), (0, 360, -360))) == 4
    assert Views("ud").orientations == ((False, 0), (True, 2))


def test_one_channel_stands_for_two_classes():
    network = nn.Conv2d(3, 1, 1)
    found = augmented(network, IMAGES, flips="")
    logit = network(IMAGES)
    assert torch.allclose(found, torch.cat([torch.zeros_like(logit), logit], 1).softmax(1), atol=1e-6)


def test_mode_comes_back_and_nothing_asks_for_gradients():
    network = nn.Sequential(Pointwise(), nn.Dropout(0.9)).train()
    found = augmented(network, IMAGES)
    assert network.training and network[1].training and not found.requires_grad
    assert torch.allclose(found, network[0](IMAGES).softmax(1), atol=1e-6)  # nothing was dropped
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("views", "text"),
    [
        ({"flips": "diagonal"}, '"diagonal" is unknown'),
        ({"scales": ()}, "above 0"),
        ({"scales": (1.0, 0.0)}, "above 0"),
        ({"rotations": (45,)}, "multiples of 90"),
        ({"rotations": ()}, "multiples of 90"),
    ],
)
def test_unknown_views_are_refused(views, text):
    with pytest.raises(OptionError, match=text):
        Views(**views)


def test_images_are_a_batch():
    with pytest.raises(ShapeError, match=r"expected \(B, C, H, W\)"):
        augmented(Pointwise(), IMAGES[0])
