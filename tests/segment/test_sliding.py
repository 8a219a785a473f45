"""Windows put together again are the whole image."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from foveate.errors import OptionError, ShapeError
from foveate.segment.augmented import augmented
from foveate.segment.sliding import bands, sliding_window
from foveate.segment.windows import Tiling, axis
from tests.segment.networks import Local

SIZES = [(37, 53), (16, 16), (16, 41), (33, 20)]


@pytest.fixture(scope="module")
def images():
    return lambda height, width: torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))


def inside(size, window, overlap, radius):
    """Mark the pixels farther than ``radius`` from every edge of a window that is no edge of the image."""
    marks = []
    for length in size:
        found = axis(length, window, Tiling(window, overlap))
        mark = torch.ones(length, dtype=torch.bool)
        for start in found.starts:
            if start > 0:
                mark[start : start + radius] = False
            if start + window < length:
                mark[start + window - radius : start + window] = False
        marks.append(mark)
    return marks[0][:, None] & marks[1]


@pytest.mark.parametrize("blend", ["gaussian", "linear", "mean"])
@pytest.mark.parametrize("size", SIZES)
def test_equal_to_the_whole_image_up_to_borders(size, blend, images):
    network, x = Local(), images(*size)
    whole = network(x)
    found = sliding_window(network, x, 16, overlap=0.3, blend=blend, batch_size=3)
    assert found.shape == whole.shape and not found.requires_grad
    sure = inside(size, 16, 0.3, Local.RADIUS)
    assert sure.any()
    assert (found - whole)[:, :, sure].abs().max() < 1e-5
    if max(size) > 16:
        assert (found - whole).abs().max() > 1e-3  # borders of windows show without a margin


@pytest.mark.parametrize("size", SIZES)
def test_equal_everywhere_with_the_receptive_field_as_margin(size, images):
    network, x = Local(), images(*size)
    found = sliding_window(network, x, 16, overlap=0.4, margin=Local.RADIUS)
    assert (found - network(x)).abs().max() < 1e-5


@pytest.mark.parametrize("size", [(9, 40), (40, 9), (5, 6), (1, 1), (1, 20)])
def test_small_images_are_reflected_and_cut_back(size, images):
    network, x = Local(), images(*size)
    found = sliding_window(network, x, 16, overlap=0.4, margin=Local.RADIUS)
    assert found.shape == (2, 4, *size)
    # The same, with the enlargement written out by NumPy
    pads = [max(0, 16 - side) for side in size]
    around = [(pad // 2, pad - pad // 2) for pad in pads]
    large = torch.from_numpy(np.pad(x.numpy(), ((0, 0), (0, 0), *around), mode="reflect"))
    whole = network(large)[:, :, around[0][0] :, around[1][0] :][:, :, : size[0], : size[1]]
    assert (found - whole).abs().max() < 1e-5


def test_what_is_averaged_is_what_was_asked_for(images):
    network, x = Local(), images(20, 12)
    parts = [network(x[:, :, :12]), network(x[:, :, 8:])]
    weights = axis(20, 12, Tiling(12, 0.34, "linear"))
    assert weights.starts == (0, 7, 8)

    def blended(parts):
        total = torch.zeros(2, 4, 20, 12)
        for start, row, part in zip(weights.starts, weights.weights, parts, strict=True):
            total[:, :, start : start + 12] += row[:, None].float() * part
        return total

    logits = [parts[0], network(x[:, :, 7:19]), parts[1]]
    found = sliding_window(network, x, 12, overlap=0.34, blend="linear")
    assert torch.allclose(found, blended(logits), atol=1e-5)
    found = sliding_window(network, x, 12, overlap=0.34, blend="linear", average="probabilities")
    assert torch.allclose(found, blended([part.softmax(1) for part in logits]), atol=1e-6)
    assert torch.allclose(found.sum(1), torch.ones(()), atol=1e-6)


def test_batches_do_not_matter_and_a_constant_stays(images):
    network, x = Local(), images(30, 45)
    one, many = (sliding_window(network, x, (12, 16), batch_size=size) for size in (1, 7))
    assert torch.allclose(one, many, atol=1e-5)
    constant = sliding_window(lambda x: x.new_full((len(x), 2, *x.shape[2:]), 0.7), x, 12, overlap=0.6)
    assert torch.allclose(constant, torch.tensor(0.7), atol=1e-6)


def test_modes_come_back_and_half_precision_is_summed_in_single(images):
    network = nn.Sequential(Local(), nn.BatchNorm2d(4), nn.Dropout(0.5)).train()
    network[1].eval()
    sliding_window(network, images(20, 20), 16)
    assert network.training and network[2].training and not network[1].training
    assert network[1].num_batches_tracked == 0
    found = sliding_window(Local().bfloat16(), images(20, 20).bfloat16(), 16)
    assert found.dtype == torch.float32


def test_composes_with_views(images):
    network, x = Local(), images(20, 26)
    whole = augmented(network, x, flips="lr")
    tiled = augmented(partial(sliding_window, network, window=16, overlap=0.4, margin=3), x, flips="lr")
    assert torch.allclose(tiled, whole, atol=1e-5)
    inside_out = sliding_window(
        lambda window: augmented(network, window, flips="lr").log(),
        x, 16, overlap=0.4, margin=3, average="probabilities",
    )  # fmt: skip
    assert torch.allclose(inside_out, whole, atol=1e-5)


def test_coarse_logits_are_resized_and_other_outputs_refused(images):
    coarse = nn.Conv2d(3, 2, 4, stride=4)
    assert sliding_window(coarse, images(20, 22), 16).shape == (2, 2, 20, 22)
    wrapped = sliding_window(lambda x: {"out": coarse(x), "aux": None}, images(20, 22), 16)
    assert torch.equal(wrapped, sliding_window(coarse, images(20, 22), 16))
    with pytest.raises(ShapeError, match="Use a segmentation model"):
        sliding_window(lambda x: x.mean((2, 3)), images(20, 22), 16)
    with pytest.raises(ShapeError, match=r"expected \(B, C, H, W\)"):
        sliding_window(coarse, images(20, 22)[0], 16)
    with pytest.raises(OptionError, match="logits, probabilities"):
        sliding_window(coarse, images(20, 22), 16, average="labels")


def test_bands_come_as_soon_as_they_can():
    x, read = torch.randn(1, 3, 50, 20), []

    def rows(first, last):
        read.append((first, last))
        return x[:, :, first:last]

    network = Local()
    with torch.no_grad():
        found = bands(network, rows, (50, 20), Tiling(16, 0.5))
        first = next(found)
        assert read == [(0, 16)] and first[0] == 0 and first[1].shape[2] == 8
        others = list(found)
    assert [begin for begin, _ in others] == [8, 16, 24, 32, 34]
    assert sum(band.shape[2] for _, band in [first, *others]) == 50
