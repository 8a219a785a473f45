"""Pictures given as an overview and windows: the form that lies in memory."""

import pytest
import torch
from torch.nn import functional as F

from foveate.errors import ShapeError
from foveate.large_pictures import PicturesInMemory, as_pictures, covered, overview_size


def naive_window(image, row, column, size):
    """Return the window at (row, column) of an image (C, H, W), pixel by pixel."""
    out = torch.zeros(image.shape[0], *size)
    for i in range(size[0]):
        for j in range(size[1]):
            if 0 <= row + i < image.shape[1] and 0 <= column + j < image.shape[2]:
                out[:, i, j] = image[:, row + i, column + j]
    return out


def test_windows_are_the_pixels_and_zero_outside():
    images = torch.rand(2, 3, 9, 12)
    corners = torch.tensor([[[0, 0], [-3, 5], [7, 10]], [[2, 3], [20, 0], [-4, -5]]])
    found = PicturesInMemory(images).windows(corners, (4, 5))
    for b in range(2):
        for k in range(3):
            expected = naive_window(images[b], *corners[b, k].tolist(), (4, 5))
            torch.testing.assert_close(found[b, k], expected, rtol=0, atol=0)


def test_a_coarser_window_covers_more():
    image = torch.arange(16.0).reshape(1, 1, 1, 16).expand(1, 1, 16, 16)
    found = PicturesInMemory(image.contiguous()).windows(torch.tensor([[[0, 4]]]), (2, 2), scale=0.25)
    wide = F.interpolate(image[:, :, 0:8, 4:12], (2, 2), mode="bilinear", antialias=True)
    torch.testing.assert_close(found[0], wide)


def test_the_overview_keeps_the_mean_and_a_given_one_is_taken():
    images = torch.rand(2, 1, 100, 60)
    pictures = PicturesInMemory(images)
    assert pictures.overview(0.1).shape == (2, 1, 10, 6)
    torch.testing.assert_close(
        pictures.overview(0.1).mean(dim=(2, 3)), images.mean(dim=(2, 3)), rtol=0.02, atol=0
    )
    assert pictures.overview(1.0) is images
    given = torch.zeros(2, 1, 10, 6)
    assert PicturesInMemory(images, {0.1: given}).overview(0.1) is given


def test_a_batch_is_split_and_moved():
    pictures = PicturesInMemory(torch.rand(3, 1, 20, 10), {0.5: torch.rand(3, 1, 10, 5)})
    part = pictures[1:]
    assert len(part) == 2
    assert part.sizes == [(20, 10)] * 2
    assert part.overview(0.5).equal(pictures.overview(0.5)[1:])
    assert pictures.to(torch.device("cpu")) is pictures
    assert pictures.to(torch.device("meta")).overview(0.5).is_meta


def test_gradients_reach_the_pixels():
    images = torch.rand(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    corners = torch.tensor([[[-1, 2], [1, 1]]])
    assert torch.autograd.gradcheck(lambda x: PicturesInMemory(x).windows(corners, (3, 3)), images)


def test_sizes():
    assert overview_size((1500, 7), 0.12) == (180, 1)
    assert covered((50, 40), 0.5) == (100, 80)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda p: p.windows(torch.zeros(1, 2, 2).long(), (3, 3)), "(1, 2, 2)"),
        (lambda p: p.windows(torch.zeros(2, 2, 2), (3, 3)), "torch.float32"),
        (lambda p: p.windows(torch.zeros(2, 2, 2).long(), (0, 3)), "(0, 3)"),
        (lambda p: p.overview(2.0), "scale: got 2.0"),
        (lambda p: as_pictures(torch.zeros(2, 3).long()), "(2, 3)"),
        (lambda p: as_pictures("a.tif"), "str"),
        (lambda p: PicturesInMemory(p.pixels, {0.5: p.pixels}), "an overview at 0.5"),
    ],
)
def test_what_is_no_picture_or_window_is_refused(ask, said):
    with pytest.raises(ShapeError, match=r".*") as refused:
        ask(PicturesInMemory(torch.rand(2, 1, 8, 8)))
    assert said in str(refused.value)
