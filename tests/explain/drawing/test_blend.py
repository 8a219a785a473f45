import numpy as np
import pytest
import torch
import torch.nn.functional as F

from foveate.errors import ShapeError
from foveate.explain.drawing.blend import blended, enlarged, resized

GREY = np.full((32, 48, 3), 90, np.uint8)


@pytest.mark.parametrize("size", [(32, 48), (33, 70), (14, 14)])
def test_a_map_is_enlarged_as_torch_does_it_between_centres(size):
    values = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    expected = F.interpolate(torch.from_numpy(values)[None, None], size, mode="bilinear", align_corners=False)
    np.testing.assert_allclose(resized(values, size), expected[0, 0].numpy(), atol=1e-5)


def test_squares_keep_their_values():
    values = np.arange(6.0).reshape(2, 3)
    assert (resized(values, (4, 6), smooth=False) == values.repeat(2, 0).repeat(2, 1)).all()


def test_an_unknown_place_lends_nothing_to_its_neighbours():
    values = np.array([[1.0, 1.0, np.nan]])
    large = resized(values, (4, 12))
    assert np.isnan(large[:, 8:]).all() and large[:, :8] == pytest.approx(1.0)


def test_colour_is_the_maps_and_light_is_where_it_is_high():
    photo = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    values = np.zeros((4, 6))
    values[1, 4] = 2.0
    drawn = blended(photo, values, smooth=False).astype(int)
    chosen = drawn[8:16, 32:40].mean(axis=(0, 1))
    assert chosen[0] > chosen[2] + 40  # the bright end of the palette is yellow
    flat = blended(GREY, values, smooth=False)
    assert np.ptp(flat[20:, :24], axis=2).max() <= 1  # elsewhere there is no colour
    assert flat[12, 36].sum() > flat[28, 4].sum()


def test_signs_are_told_apart_and_zero_leaves_the_picture_alone():
    values = np.array([[-1.0, 0.0, 0.5]])
    drawn = blended(GREY, values, smooth=False).astype(int)
    blue, none, red = drawn[0, 4], drawn[0, 24], drawn[0, 44]
    assert blue[2] > blue[0] + 20 and red[0] > red[2] + 20 and none.tolist() == [90, 90, 90]


def test_what_is_no_picture_or_no_map_is_refused():
    with pytest.raises(ShapeError, match=r"image: got \(32, 48\)"):
        blended(GREY[..., 0], np.zeros((2, 2)))
    with pytest.raises(ShapeError, match="average heads"):
        blended(GREY, np.zeros((3, 2, 2)))


def test_small_pictures_are_enlarged_by_the_pixel():
    photo = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    large = enlarged(photo, 12)
    assert large.shape == (15, 21, 3) and (large[::3, ::3] == photo).all()
    assert enlarged(GREY, 20) is GREY
