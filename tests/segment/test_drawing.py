"""Overlays mix what they say they mix; legends name what is there."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.ft2font import FT2Font

from foveate.errors import ShapeError
from foveate.segment.drawing import NARROWEST, font_for, overlay, with_legend

PALETTE = np.array([[200, 0, 0], [0, 100, 0], [0, 0, 50]], np.uint8)


def test_a_blend_inside_and_the_colour_itself_where_classes_meet():
    image = np.full((4, 6, 3), 100, np.uint8)
    labels = np.zeros((4, 6), np.uint8)
    labels[:, 3:] = 1
    found = overlay(image, labels, PALETTE, strength=0.25)
    assert found.dtype == np.uint8
    assert found[:, :2].tolist() == [[[125, 75, 75]] * 2] * 4
    assert found[:, 3:].tolist() == [[[75, 100, 75]] * 3] * 4
    assert found[:, 2].tolist() == [[200, 0, 0]] * 4


def test_sizes_and_classes_have_to_fit():
    image, labels = np.zeros((4, 6, 3), np.uint8), np.zeros((4, 5), np.uint8)
    with pytest.raises(ShapeError, match=r"\(H, W, 3\) and \(H, W\)"):
        overlay(image, labels, PALETTE)
    with pytest.raises(ShapeError, match="class 3 and 3 colours"):
        overlay(image, np.full((4, 6), 3, np.uint8), PALETTE)


def colours(picture):
    return {tuple(colour) for colour in np.asarray(picture).reshape(-1, 3)}


@pytest.mark.parametrize("width", [3, 100, 640])
def test_legend_shows_the_classes_that_are_there(width):
    image = np.full((5, width, 3), 255, np.uint8)
    picture = with_legend(
        image, ["road", "a tree with a long name " * 5, "sky"], np.array([0.3, 0.7, 0]), PALETTE
    )
    assert picture.width >= max(width, NARROWEST) and picture.height > 5
    shown = colours(picture)
    assert {(200, 0, 0), (0, 100, 0)} <= shown and (0, 0, 50) not in shown
    rows, columns = np.nonzero((np.asarray(picture) < 255).any(axis=2))
    assert rows.max() < picture.height - 1 and columns.max() < picture.width - 1  # nothing is cut off


def test_the_larger_class_comes_first():
    picture = np.asarray(
        with_legend(np.full((5, 640, 3), 255, np.uint8), ["a", "b", "c"], np.array([0.2, 0, 0.8]), PALETTE)
    )
    left = {k: np.nonzero((picture == PALETTE[k]).all(axis=2))[1].min() for k in (0, 2)}
    assert left[2] < left[0]


def test_letters_that_the_usual_font_lacks_are_drawn_in_one_that_has_them():
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    usual, other = (
        set(FT2Font(str(folder / f"{n}.ttf")).get_charmap()) for n in ("DejaVuSans", "STIXNonUni")
    )
    letter = chr(min(other - usual))
    assert font_for(12, "road").getname()[0] == "DejaVu Sans"
    assert ord(letter) in FT2Font(font_for(12, letter).path).get_charmap()


def test_letters_that_no_font_has_are_boxes():
    assert font_for(12, "\U0010fffd").getname()[0] == "DejaVu Sans"
