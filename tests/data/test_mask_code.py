import re

import numpy as np
import pytest
from PIL import Image

from foveate.data.open import open_data, reopen
from foveate.data.palette import voc_palette
from foveate.errors import DataError, OptionError
from tests.data.mask_samples import labels, make_masks, save_mask

COLOURS = {"sky": (128, 128, 128), "road": (128, 64, 128), "car": (64, 0, 128)}


@pytest.fixture
def root(tmp_path):
    return make_masks(tmp_path)


def rewrite(root, change):
    """Save every mask again, as ``change`` makes it."""
    for path in sorted(root.rglob("masks/*.png")):
        made = change(np.asarray(Image.open(path)))
        (made if isinstance(made, Image.Image) else Image.fromarray(made)).save(path)
    return root


def paletted(mask, colours):
    image = Image.fromarray(mask)  # not .convert("P"), which would look for the colours
    image.putpalette(np.asarray(colours, dtype=np.uint8).reshape(-1).tolist())
    return image


def rgb(mask):
    return np.array([*COLOURS.values()], dtype=np.uint8)[mask]


def assert_read(data, numbers=(0, 1, 2)):
    for split, first in (("train", 0), ("test", 4)):
        wanted = np.array(numbers, dtype=np.uint8)[labels(first + 1)]
        np.testing.assert_array_equal(data.splits[split].masks(1), wanted)
    assert reopen(data.origin).fingerprint == data.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        lambda mask: mask,
        lambda mask: mask.astype(np.uint16),
        lambda mask: np.repeat(mask[..., None], 3, axis=2),
        lambda mask: np.dstack([mask, mask, mask, np.full_like(mask, 255)]),
        lambda mask: paletted(mask, voc_palette()),
    ],
    ids=["grey", "16 bits", "grey as RGB", "grey as RGBA", "paletted"],
)
def test_class_numbers_in_any_form(root, change):
    data = open_data(rewrite(root, change))
    assert_read(data)
    assert data.classes == ("0", "1", "2")


def test_of_a_palette_the_index_counts_and_its_colours_draw(root):
    rewrite(root, lambda mask: paletted(mask, voc_palette()))
    data = open_data(root, classes=["background", "aeroplane", "bicycle"])
    assert data.colours.tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
    with_colours = open_data(root, colours={"cat": (0, 128, 0), "none": (0, 0, 0), "dog": (128, 0, 0)})
    assert with_colours.classes == ("cat", "none", "dog")
    assert_read(with_colours, (1, 2, 0))


@pytest.mark.parametrize("form", ["L", "1", "RGB"])
def test_zero_and_255_are_two_classes_and_that_is_said(tmp_path, form):
    root = rewrite(make_masks(tmp_path, classes=2), lambda mask: Image.fromarray(mask * 255).convert(form))
    data = open_data(root)
    assert data.classes == ("background", "foreground")
    assert "the masks are binary: 0 is background, 255 is foreground" in data.origin["notes"]
    np.testing.assert_array_equal(data.splits["train"].masks(1), labels(1, classes=2))
    assert open_data(root, background="cell").classes == ("cell", "foreground")
    assert open_data(root, classes=["in", "out"]).classes == ("in", "out")
    if form == "L":  # said to be ignored: no foreground is left but what classes= names
        assert 255 in open_data(root, ignore_index=255, classes=2).splits["train"].masks(1)


def test_one_bit_beside_zero_and_255_means_the_same(tmp_path):
    root = rewrite(make_masks(tmp_path, classes=2), lambda mask: mask * 255)
    save_mask(root / "train/masks/1.png", labels(1, classes=2) * 255, "1")
    np.testing.assert_array_equal(open_data(root).splits["train"].masks(1), labels(1, classes=2))


def test_255_is_ignored_among_class_numbers_and_that_is_said(root):
    data = open_data(rewrite(root, lambda mask: np.where(mask == 2, 255, mask).astype(np.uint8)))
    assert (
        data.classes == ("background", "foreground")
        and "pixels of value 255 are ignored" in data.origin["notes"]
    )
    assert_read(data, (0, 1, 255))


@pytest.mark.parametrize(
    "ignored, names, numbers",
    [
        (2, ("a", "b"), (0, 1, 255)),
        (0, ("b", "void"), (255, 0, 1)),
        ([0, 2], ("b",), (255, 0, 255)),
        ("b", ("a", "void"), (0, 255, 1)),
        (None, ("a", "b"), (0, 1, 255)),
    ],
)
def test_what_is_ignored_is_not_a_class_and_the_others_move_up(root, ignored, names, numbers):
    data = open_data(root, classes=["a", "b", "void"], ignore_index=ignored)
    assert data.classes == names
    assert_read(data, numbers)


@pytest.mark.parametrize("text", ["a\nb\nvoid\n", "0 a\n1 b\n2 void", "# names\na\n\nb\nVoid"])
def test_a_name_list_beside_the_data_is_read_and_its_last_void_ignored(root, text):
    (root / "classes.txt").write_text(text)
    data = open_data(root)
    assert data.classes == ("a", "b")
    assert any("class 2" in note and "oid, are ignored" in note for note in data.origin["notes"])
    assert_read(data, (0, 1, 255))


@pytest.mark.parametrize(
    "name, text",
    [
        ("classes.csv", "name,r,g,b\nsky,128,128,128\nroad,128,64,128\ncar,64,0,128\n"),
        ("class_dict.csv", "name, r, g, b\nsky, 128, 128, 128\nroad, 128, 64, 128\ncar, 64, 0, 128\n"),
        ("label_colors.txt", "128 128 128\tsky\n128 64 128\troad\n64 0 128\tcar\n"),
        (
            "labelmap.txt",
            "# label:color_rgb:parts:actions\nsky:128,128,128::\nroad:128,64,128::\ncar:64,0,128::\n",
        ),
    ],
)
def test_colours_are_read_by_a_table_beside_the_data(root, name, text):
    rewrite(root, rgb)
    (root / name).write_text(text)
    data = open_data(root)
    assert data.classes == ("sky", "road", "car")
    assert data.colours.tolist() == [list(colour) for colour in COLOURS.values()]
    assert_read(data)


def test_colours_that_nobody_explains_are_named_with_file_and_count(root):
    rewrite(root, rgb)
    with pytest.raises(DataError, match=r"0\.png: holds colours \(.*pixels\).*classes\.csv"):
        open_data(root)
    odd = rgb(labels(5))
    odd[:2, :3] = (1, 2, 3)
    save_mask(root / "test/masks/1.png", odd)
    data = open_data(root, colours=COLOURS)
    with pytest.raises(DataError, match=r"test/masks/1\.png: holds colour \(1, 2, 3\) \(6 pixels\)"):
        data.splits["test"].masks(1)
    other = open_data(root, colours=COLOURS, background="other")
    assert other.classes == ("other", "sky", "road", "car")
    assert other.splits["test"].masks(1)[0, 0] == 0
    ignoring = open_data(root, colours=COLOURS, background="ignore")
    assert ignoring.splits["test"].masks(1)[0, 0] == 255 and ignoring.classes == ("sky", "road", "car")


def test_several_colours_of_one_name_are_one_class_and_void_is_ignored(root):
    rewrite(root, rgb)
    (root / "classes.csv").write_text("way,128,128,128\nVoid,128,64,128\nway,64,0,128\n")
    data = open_data(root)
    assert data.classes == ("way",)
    assert_read(data, (0, 255, 0))


def test_grey_levels_can_be_named(root):
    rewrite(root, lambda mask: mask * np.uint8(60))
    with pytest.raises(DataError, match=r"0, 60, 120: grey levels.*classes=121"):
        open_data(root)
    data = open_data(root, colours={"none": 0, "cell": 60, "wall": 120})
    assert data.classes == ("none", "cell", "wall")
    assert_read(data)
    assert len(open_data(root, classes=121).classes) == 121


def test_an_unknown_value_is_named_with_file_and_count(root):
    odd = labels(5).copy()
    odd[0, :4] = 9
    save_mask(root / "test/masks/1.png", odd)
    data = open_data(root, classes=["a", "b", "c"])
    with pytest.raises(
        DataError, match=r"test/masks/1\.png: holds value 9 \(4 pixels\), which is not a class"
    ):
        data.splits["test"].masks(1)


def test_soft_edges_want_a_threshold(tmp_path):
    def soft(mask):
        return Image.fromarray(mask * 255).resize((64, 48), Image.BILINEAR).resize((32, 24), Image.BILINEAR)

    root = rewrite(make_masks(tmp_path, classes=2), soft)
    with pytest.raises(DataError, match=r"soft edges.*threshold=128"):
        open_data(root)
    data = open_data(root, threshold=128)
    assert data.classes == ("background", "foreground")
    raw = np.asarray(Image.open(root / "train/masks/1.png"))
    np.testing.assert_array_equal(data.splits["train"].masks(1), raw >= 128)


def test_a_palette_turned_to_grey_is_recognised(root):
    rewrite(root, lambda mask: paletted(mask, voc_palette()).convert("RGB").convert("L"))
    with pytest.raises(DataError, match="brightness of VOC's colours"):
        open_data(root)


def test_vocs_palette_is_the_published_one():
    published = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128)]
    assert voc_palette()[:6].tolist() == [list(colour) for colour in published]
    assert voc_palette()[20].tolist() == [0, 64, 128] and voc_palette()[255].tolist() == [224, 224, 192]


def test_numbers_of_objects_are_no_classes(root):
    rewrite(root, lambda mask: np.arange(24 * 32, dtype=np.uint16).reshape(24, 32))
    with pytest.raises(DataError, match=r"767 classes remain.*object numbers"):
        open_data(root)


@pytest.mark.parametrize(
    "options, said",
    [
        ({"classes": ["a", "a"]}, 'the name "a" occurs twice'),
        ({"classes": []}, r"classes: got \(\)"),
        ({"ignore_index": "sky"}, "the classes have no names"),
        ({"ignore_index": "sky", "classes": ["a", "b", "c"]}, "no class of this name"),
        ({"ignore_index": -1}, "not a pixel value"),
        ({"colours": {"a": (1, 2)}}, r"a has \(1, 2\)"),
        ({"colours": {"a": 5, "b": (5, 5, 5)}}, "colour of both a and b"),
        ({"threshold": 0}, "threshold=0"),
        ({"threshold": 9, "classes": ["a", "b", "c"]}, "names 3"),
        ({"colour": {}}, "Nearest: colours"),
    ],
)
def test_impossible_options_are_refused(root, options, said):
    with pytest.raises(OptionError, match=said):
        open_data(root, **options)


def test_a_broken_mask_is_named(root):
    (root / "train/masks/1.png").write_bytes(b"no")
    with pytest.raises(DataError, match=re.escape("1.png: cannot be read")):
        open_data(root)
