import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.path import Path as Outline

from foveate.data.coco.coco_shapes import polygon_region, run_length_region, uncompressed
from foveate.errors import DataError
from tests.data.coco_samples import run_lengths


def compressed(counts):
    """COCO's string, by its definition: differences from the fourth on, five bits a character."""
    text = ""
    for place, count in enumerate(counts):
        number = count - counts[place - 2] if place > 2 else count
        more = True
        while more:
            bits, number = number & 31, number >> 5
            more = number != -1 if bits & 16 else number != 0
            text += chr(48 + (bits | 32 if more else bits))
    return text


@pytest.mark.parametrize("seed", range(5))
def test_a_pixel_is_inside_if_its_centre_is(seed):
    points = np.random.default_rng(seed).uniform(-5, 45, (7, 2))
    xs, ys = np.meshgrid(np.arange(40) + 0.5, np.arange(30) + 0.5)
    region = polygon_region(points, 30, 40)
    crossings = np.zeros((30, 40), dtype=int)  # even-odd: how many edges a ray to the left meets
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        spans = (ys >= min(y0, y1)) & (ys < max(y0, y1))
        crossings += spans & (x0 + (ys - y0) * (x1 - x0) / (y1 - y0) <= xs)
    np.testing.assert_array_equal(region, crossings % 2 == 1)
    hull = points[[0, 1, 2]]
    inside = Outline(hull).contains_points(np.stack([xs, ys], axis=-1).reshape(-1, 2)).reshape(30, 40)
    np.testing.assert_array_equal(polygon_region(hull, 30, 40), inside)


def test_a_box_covers_exactly_its_pixels():
    region = polygon_region(np.array([[2.0, 1], [6, 1], [6, 4], [2, 4]]), 8, 9)
    wanted = np.zeros((8, 9), dtype=bool)
    wanted[1:4, 2:6] = True
    np.testing.assert_array_equal(region, wanted)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_run_lengths_come_back(share):
    region = np.random.default_rng(0).random((37, 53)) < share
    counts = run_lengths(region)
    np.testing.assert_array_equal(run_length_region(counts, 37, 53), region)
    assert uncompressed(compressed(counts)) == counts


def test_a_string_of_cocos_own_reads_as_it_does_there():
    assert compressed([6, 1, 40, 4, 5, 4, 5, 4, 21]) == "61X13mN000`0"  # a much copied example
    region = run_length_region(uncompressed("61X13mN000`0"), 9, 10)
    assert run_lengths(region) == [6, 1, 40, 4, 5, 4, 5, 4, 21]


@given(st.text(max_size=40) | st.text(alphabet=[chr(48 + n) for n in range(64)], max_size=400))
def test_any_text_is_run_lengths_or_refused(text):
    try:
        lengths = uncompressed(text)
    except DataError:
        return
    assert len(lengths) <= len(text) and all(abs(length) < 2**40 * len(text) for length in lengths)
