"""What holds for every kind of picture: files of both kinds, the same each time, and words."""

import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from foveate.errors import FoveateError, OptionError
from foveate.explain.drawing.alignment_matrix import alignment_matrix
from foveate.explain.drawing.branch_bars import branch_bars
from foveate.explain.drawing.gate_bars import gate_bars
from foveate.explain.drawing.glimpse_path import glimpse_path
from foveate.explain.drawing.head_grid import CELL, GAP, head_grid
from foveate.explain.drawing.map_sheet import map_sheet
from foveate.explain.drawing.overlay import overlay
from foveate.explain.drawing.word_strip import mean_correlation, word_strip

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (24, 32, 3), dtype=np.uint8)
MAP = RNG.random((3, 4))
NASTY = "$x_1$ <b>& \x1b[2J 猫"

KINDS = {
    "overlay": lambda title: overlay(PHOTO, MAP, title=title),
    "signed": lambda title: overlay(PHOTO, MAP - 0.5, title=title, contours=()),
    "head_grid": lambda title: head_grid({title: RNG.random((3, 2, 4)), "b": MAP[None]}, image=PHOTO),
    "gate_bars": lambda title: gate_bars(RNG.random((5, 16)), title=title),
    "branch_bars": lambda title: branch_bars(RNG.random((2, 3)), groups=[title, "b"]),
    "word_strip": lambda title: word_strip(PHOTO, [title, "b"], RNG.random((2, 3, 4)), elsewhere=MAP[0, :2]),
    "alignment": lambda title: alignment_matrix(MAP, read=[title, "b", "c", "d"], words=list("xyz")),
    "glimpses": lambda title: glimpse_path(PHOTO, RNG.random((3, 2)) * 20, [8, 16], title=title),
    "map_sheet": lambda title: map_sheet([PHOTO], {title: [MAP]}, captions=[title]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_both_kinds(kind, tmp_path):
    drawing = KINDS[kind](NASTY)
    paths = drawing.save(tmp_path / "new")
    assert [path.suffix for path in paths] == [".png", ".svg"]
    picture = Image.open(paths[0])
    assert min(picture.size) > 150 and np.ptp(np.asarray(picture.convert("L"))) > 100
    page = ET.parse(paths[1]).getroot()
    links = [value for node in page.iter() for key, value in node.attrib.items() if key.endswith("href")]
    assert all(link.startswith(("#", "data:")) for link in links)  # nothing is loaded
    assert drawing.file("svg") == paths[1].read_bytes()
    assert len(drawing.text) > 20
    with pytest.raises(OptionError, match="png or svg"):
        drawing.file("jpeg")


def test_a_notebook_shows_the_png():
    drawing = KINDS["alignment"]("words")
    assert Image.open(io.BytesIO(drawing._repr_png_())).format == "PNG"


def test_each_head_is_in_its_row_and_column():
    """A map that is high in one half is yellow there, in the cell of its layer and head."""
    layers = {"a": np.zeros((2, 2, 2)), "b": np.zeros((3, 2, 2))}
    layers["b"][2, 0, 1] = 1
    canvas = head_grid(layers).figure.axes[0].images[0].get_array()
    cell = canvas[CELL + GAP : 2 * CELL + GAP, 2 * (CELL + GAP) : 3 * CELL + 2 * GAP]
    light = cell.mean(axis=2)
    assert light[: CELL // 2, CELL // 2 :].min() > 0.6 and light[CELL // 2 :].max() < 0.1
    first = canvas[:CELL, : 2 * (CELL + GAP) - GAP]
    assert (
        first[:, :CELL].max() < 0.1 and canvas[:CELL, 2 * (CELL + GAP) :].min() == 1
    )  # no third head: white


def test_heads_that_share_a_range_can_be_compared():
    layers = {"a": np.array([[[1.0, 0.0]], [[0.1, 0.0]]])}
    own = head_grid(layers).figure.axes[0].images[0].get_array()
    shared = head_grid(layers, range="all").figure.axes[0].images[0].get_array()
    at = (2, CELL + GAP + 2)
    assert own[at].sum() > 2 and shared[at].sum() < 0.5


def test_gates_come_sorted_with_their_spread():
    gates = np.array([[0.2, 0.9, 0.5], [0.4, 0.9, 0.5]])
    drawing = gate_bars(gates)
    assert [bar.get_height() for bar in drawing.figure.axes[0].patches] == pytest.approx([0.9, 0.5, 0.3])
    (lines,) = drawing.figure.axes[0].collections
    ends = [segment[:, 1].tolist() for segment in lines.get_segments()]
    assert ends[2] == pytest.approx([0.2, 0.4]) and ends[0] == pytest.approx([0.9, 0.9])
    assert "67 % of the channels have the same weight on every picture" in drawing.text


def test_branches_are_stacked_to_their_sum():
    weights = np.array([[0.25, 0.75], [0.5, 0.5]])
    bars = branch_bars(weights, groups=["a", "b"]).figure.axes[0].patches
    found = sorted((round(bar.get_y()), bar.get_x(), bar.get_width()) for bar in bars)
    assert found == [(0, 0.0, 0.25), (0, 0.25, 0.75), (1, 0.0, 0.5), (1, 0.5, 0.5)]


def test_words_with_the_same_map_are_called_out():
    same = np.stack([MAP, 2 * MAP, MAP + 1])
    assert mean_correlation(same) == pytest.approx(1)
    assert "hardly differ from word to word" in word_strip(PHOTO, list("abc"), same).text
    flat = RNG.random((3, 3, 4))
    expected = np.corrcoef(flat.reshape(3, -1))[np.triu_indices(3, 1)].mean()
    assert mean_correlation(flat) == pytest.approx(expected)
    assert "hardly differ" not in word_strip(PHOTO, list("abc"), flat).text


def test_an_alignment_has_the_same_colours_on_every_sentence():
    for high in (0.2, 1.0):
        drawn = alignment_matrix(np.full((2, 2), high), read=list("ab"), words=list("xy")).figure.axes[0]
        assert drawn.images[0].get_clim() == (0, 1)


def test_glimpses_are_where_they_were():
    drawing = glimpse_path(PHOTO, np.array([[6.0, 10.0], [20.0, 30.0]]), [4, 8])
    axes = drawing.figure.axes[0]
    times = axes.images[0].get_array().shape[0] / 24
    boxes = [(*p.get_center(), p.get_width()) for p in axes.patches]
    expected = [(times * c - 0.5, times * r - 0.5, times * s) for r, c in ((6, 10), (20, 30)) for s in (4, 8)]
    assert boxes == [pytest.approx(box) for box in expected]
    assert [text.get_text() for text in axes.texts] == ["1", "2"]


WRONG = {
    "no layer": lambda: head_grid({}),
    "maps without heads": lambda: head_grid({"a": MAP}),
    "another range": lambda: head_grid({"a": MAP[None]}, range="some"),
    "gates of one axis": lambda: gate_bars(MAP[0]),
    "signed branches": lambda: branch_bars(MAP - 0.5, groups=list("abc")),
    "a name too many": lambda: branch_bars(MAP, groups=list("abc"), branches=list("abcde")),
    "a word too few": lambda: word_strip(PHOTO, ["a"], RNG.random((2, 3, 4))),
    "an alignment of others": lambda: alignment_matrix(MAP, read=list("abc"), words=list("xyz")),
    "no glimpse": lambda: glimpse_path(PHOTO, np.zeros((0, 2)), [4]),
    "no picture": lambda: map_sheet([], {}),
    "a map too few": lambda: map_sheet([PHOTO, PHOTO], {"a": [MAP]}),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_does_not_fit_is_named(wrong):
    with pytest.raises(FoveateError, match="got"):
        WRONG[wrong]()
