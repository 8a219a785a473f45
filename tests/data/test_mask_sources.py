"""Masks from tables, datasets and scenes."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors

from foveate.data.base import ImageData, Split
from foveate.data.open import open_data, reopen
from foveate.data.palette import default_palette
from foveate.data.scenes.open_scenes import scenes
from foveate.errors import DataError, OptionError
from tests.data.image_samples import make_folder, pixels, save
from tests.data.mask_samples import labels, make_masks, save_mask


def table(root, columns, rows):
    with (root / "data.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return root / "data.csv"


@pytest.fixture
def files(tmp_path):
    for n in range(12):
        save(tmp_path / f"{n}.png", n)
        save_mask(tmp_path / "m" / f"{n}.png", labels(n))
    return tmp_path


def test_a_table_with_masks(files):
    rows = [(f"{n}.png", f"m/{n}.png", "train" if n < 8 else "test") for n in range(12)]
    data = open_data(table(files, ("path", "mask", "split"), rows), classes=["a", "b", "void"])
    assert data.classes == ("a", "b") and {k: len(v) for k, v in data.splits.items()} == {
        "train": 8,
        "test": 4,
    }
    np.testing.assert_array_equal(
        data.splits["test"].masks(0), np.array([0, 1, 255])[labels(10)]
    )  # 10 before 8
    assert reopen(data.origin).fingerprint == data.fingerprint


def test_groups_of_a_table_are_not_torn(files):
    rows = [(f"{n}.png", f"m/{n}.png", f"patient {n // 2}") for n in range(12)]
    data = open_data(table(files, ("path", "mask", "group"), rows), shares=(0.5, 0.0, 0.5))
    groups = [set(split.groups) for split in data.splits.values()]
    assert len(groups) == 2 and not groups[0] & groups[1] and len(groups[0] | groups[1]) == 6


@pytest.mark.parametrize(
    "columns, row, error, said",
    [
        (("path", "mask", "label"), ("0.png", "m/0.png", "a"), DataError, "both columns label and mask"),
        (("path", "mask"), ("0.png", ""), DataError, "column mask is empty in line 2"),
        (("path", "mask"), ("0.png", "m/77.png"), DataError, r"no such file: .*77\.png"),
        (("path", "label"), ("0.png", "a"), OptionError, "classes is for masks"),
    ],
)
def test_a_wrong_table_is_told(files, columns, row, error, said):
    with pytest.raises(error, match=said):
        open_data(table(files, columns, [row]), classes=["a", "b", "c"])


FORMS = {
    "array": labels,
    "PIL": lambda n: Image.fromarray(labels(n)),
    "tensor": lambda n: torch.from_numpy(labels(n))[None].long(),
    "tv_tensors": lambda n: tv_tensors.Mask(torch.from_numpy(labels(n))),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_dataset_of_masks(form):
    whole = [(pixels(n), FORMS[form](n)) for n in range(20)]
    data = open_data(whole, shares=(0.5, 0.0, 0.5))
    assert data.truth == "mask" and data.classes == ("0", "1", "2") and len(data.splits["train"]) == 10
    for item, name in enumerate(data.splits["test"].names):
        np.testing.assert_array_equal(data.splits["test"].masks(item), labels(int(name)))
        np.testing.assert_array_equal(data.splits["test"].load(item), pixels(int(name)))
    split = open_data({"train": whole[:9], "test": whole[9:]}, classes=["a", "b", "c"], ignore_index="b")
    assert split.classes == ("a", "c")
    np.testing.assert_array_equal(split.splits["test"].masks(2), np.array([0, 255, 1])[labels(11)])


@pytest.mark.parametrize("kind", [bool, np.uint8])
def test_two_values_are_background_and_foreground(kind):
    def mask(n):
        two = labels(n, classes=2)
        return two.astype(bool) if kind is bool else two * 255

    data = open_data({"train": [(pixels(n), mask(n)) for n in range(4)], "test": [(pixels(9), mask(9))]})
    assert data.classes == ("background", "foreground")
    np.testing.assert_array_equal(data.splits["test"].masks(0), labels(9, classes=2))


def test_the_fingerprint_of_a_dataset_follows_its_masks():
    one, other = (
        open_data([(pixels(n), labels(n + k)) for n in range(9)], shares=(0.5, 0, 0.5)) for k in (0, 50)
    )
    assert one.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    "items, error, said",
    [
        ([(pixels(0), labels(0)[:20])] * 4, DataError, "a mask of 32x20 pixels came with an image of 32x24"),
        ([(pixels(0), labels(0)), (pixels(1), 1)] * 4, DataError, "4 of 8 items have masks"),
        ([(pixels(0), labels(0) + 0.5)] * 4, DataError, r"fractions such as"),
        ([(pixels(0), np.zeros((2, 24, 32)))] * 4, DataError, r"shape \(2, 24, 32\)"),
        ([(pixels(0), Image.fromarray(pixels(1)))] * 4, DataError, "mode RGB"),
    ],
)
def test_a_wrong_mask_is_told(items, error, said):
    with pytest.raises(error, match=said):
        open_data(items)
    with pytest.raises(OptionError, match="are for masks"):
        open_data([(pixels(n), n % 2) for n in range(8)], ignore_index=1)


def test_scenes_with_masks_show_the_marked_digit_and_its_class():
    plain, masked = (scenes(train=12, val=4, test=6, classes=4, masks=masks) for masks in (False, True))
    assert masked.classes == ("background", "0", "1", "2", "3") and masked.truth == "mask"
    for name, split in masked.splits.items():
        for item in range(len(split)):
            np.testing.assert_array_equal(split.load(item), plain.splits[name].load(item))
            wanted = np.where(split.look(item), 1 + plain.splits[name].targets[item], 0)
            np.testing.assert_array_equal(split.masks(item), wanted)
        assert not split.targets.any()
    assert masked.fingerprint != plain.fingerprint
    assert (
        open_data("scenes(masks=True, train=12, val=4, test=6, classes=4)").fingerprint == masked.fingerprint
    )
    assert reopen(masked.origin).fingerprint == masked.fingerprint
    with pytest.raises(OptionError, match="neither True nor False"):
        scenes(masks=1)


def test_what_labels_were_cached_under_is_what_it_was(tmp_path):
    """Caches of labels that exist already stay valid: their names follow from these fingerprints."""
    assert scenes(train=40, val=0, test=20, classes=4).fingerprint.startswith("d73ac384b62eab28")
    data = open_data(make_folder(tmp_path))
    assert data.truth == "label" and data.splits["train"].masks is None


def test_only_some_splits_with_masks_and_palettes_that_do_not_fit_are_told(tmp_path):
    data = open_data(make_masks(tmp_path))
    bare = Split(("a",), np.zeros(1, dtype=np.int64), lambda item: pixels(0))
    words = {"name": "x", "origin": {}, "fingerprint": ""}
    with pytest.raises(DataError, match="split test has no masks"):
        ImageData(classes=data.classes, splits={**data.splits, "test": bare}, **words)
    with pytest.raises(DataError, match=r"palette of shape \(2, 3\) for 3 classes"):
        ImageData(classes=data.classes, splits=data.splits, palette=default_palette(2), **words)
    with pytest.raises(DataError, match="256 classes"):
        ImageData(classes=tuple(map(str, range(256))), splits=data.splits, **words)


def test_colours_of_classes_differ_and_do_not_depend_on_how_many_follow():
    colours = default_palette(255).astype(int)
    assert len({tuple(colour) for colour in colours.tolist()}) == 255
    np.testing.assert_array_equal(default_palette(5), colours[:5])
    first = colours[:12]
    apart = np.abs(first[:, None] - first).sum(axis=2) + 999 * np.eye(12, dtype=int)
    assert apart.min() >= 150
