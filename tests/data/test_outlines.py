"""Outlines in text files become masks."""

import numpy as np
import pytest

from foveate.data.masks.outline_text import names_in
from foveate.data.open import open_data, reopen
from foveate.errors import DataError
from tests.data.image_samples import save


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: [cell, wall]", ("cell", "wall")),
        ("names: {0: 'cell', 1: wall}", ("cell", "wall")),
        ("nc: 2\nnames:\n  0: cell\n  1: wall\n", ("cell", "wall")),
        ("names:\n- cell\n- wall", ("cell", "wall")),
        ("names: ['a, b', \"c, d\", e, cat's eye,]", ("a, b", "c, d", "e", "cat's eye")),
    ],
)
def test_names_of_a_data_yaml(tmp_path, text, names):
    (tmp_path / "data.yaml").write_text(text)
    assert names_in(tmp_path / "data.yaml") == names


def outline(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))


@pytest.mark.parametrize(
    "image, text",
    [
        ("{split}/images/{n}.png", "{split}/labels/{n}.txt"),
        ("images/{split}/{n}.png", "labels/{split}/{n}.txt"),
        ("{split}/{n}.png", "{split}/{n}.txt"),
    ],
)
def test_outlines_in_text_files(tmp_path, image, text):
    for split, first in (("train", 0), ("valid", 4), ("test", 8)):
        for n in range(first, first + 3):
            save(tmp_path / image.format(split=split, n=n), n)
            outline(tmp_path / text.format(split=split, n=n), "1 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75")
    (tmp_path / "data.yaml").write_text("names: [cell, wall]")
    empty = tmp_path / image.format(split="train", n=3)
    save(empty, 3)
    data = open_data(tmp_path)
    assert data.classes == ("background", "cell", "wall")
    wanted = np.zeros((24, 32), np.uint8)
    wanted[6:18, 8:24] = 2
    np.testing.assert_array_equal(data.splits["test"].masks(1), wanted)
    assert (
        not data.splits["train"]
        .masks(data.splits["train"].names.index(empty.relative_to(tmp_path).as_posix()))
        .any()
    )
    assert "1 image has no text file, or an empty one: all background" in data.origin["notes"]
    assert reopen(data.origin).fingerprint == data.fingerprint


def test_boxes_and_unknown_numbers_in_text_files_are_told(tmp_path):
    for n in range(6):
        save(tmp_path / "images" / f"{n}.png", n)
        outline(tmp_path / "labels" / f"{n}.txt", "0 0.5 0.5 0.1 0.1")
    with pytest.raises(DataError, match=r"0\.txt, line 1: .*it is a box"):
        open_data(tmp_path)
    for n in range(6):
        outline(tmp_path / "labels" / f"{n}.txt", f"{n} 0.1 0.1 0.9 0.1 0.9 0.9")
    with pytest.raises(DataError, match=r"class [2-5] is not one of 0 to 1"):
        data = open_data(tmp_path, classes=["a", "b"])
        [split.masks(item) for split in data.splits.values() for item in range(len(split))]
