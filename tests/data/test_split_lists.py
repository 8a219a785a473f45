"""Splits from lists of names, and from the names of all files."""

import pytest

from foveate.data.open import open_data
from foveate.errors import DataError
from tests.data.mask_samples import assert_paired, build


@pytest.mark.parametrize(
    "line",
    [
        "{stem}",
        "{stem}.png",
        "images/{stem}.png masks/{stem}.png",
        r"C:\data\images\{stem}.png",
        "/home/me/images/{stem}.png,/home/me/masks/{stem}.png",
        "{stem} 1 1 2",
    ],
)
def test_names_with_dots_blanks_and_dates_in_lists(tmp_path, line):
    stem = "shot 2021.05.{n:02} v1.{n}"
    build(tmp_path, [(f"images/{stem}.png", f"masks/{stem}.png", range(6))])
    for name, numbers in (("train.txt", range(4)), ("Test_list.txt", range(4, 6))):
        text = "".join(line.format(stem=stem.format(n=n)) + "\n" for n in numbers)
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
    data = open_data(tmp_path)
    assert {split: len(part) for split, part in data.splits.items()} == {"train": 4, "test": 2}
    assert_paired(data, lambda file: int(file.stem.rsplit(".")[-1]))


def test_lists_tell_frames_of_equal_names_apart_by_their_folder(tmp_path):
    for folder in "ab":
        build(tmp_path, [(f"images/{folder}/{{n}}.png", f"masks/{folder}/{{n}}.png", range(3))])
    (tmp_path / "train.txt").write_text("a/0.png\na/1.png\na/2.png\n")
    (tmp_path / "val.txt").write_text("/x/images/b/0.png\n/x/images/b/2.png\n")
    data = open_data(tmp_path)
    assert data.splits["train"].names == ("images/a/0.png", "images/a/1.png", "images/a/2.png")
    assert data.splits["test"].names == ("images/b/0.png", "images/b/2.png")
    (tmp_path / "val.txt").write_text("0.png\n")
    with pytest.raises(DataError, match=r"0\.png may be .*Write the folder too"):
        open_data(tmp_path)


def test_splits_in_the_names_of_all_files_are_kept_apart(tmp_path):
    build(
        tmp_path,
        [
            ("train_{n}.png", "train_{n}_anno.png", range(6)),
            ("testA_{n}.png", "testA_{n}_anno.png", range(6, 9)),
        ],
    )
    names = {"train": 6, "test": 3}
    build(
        tmp_path / "plain",
        [
            (f"images/{s}_{{n}}.png", f"masks/{s}_{{n}}.png", r)
            for s, r in (("train", range(6)), ("test", range(6, 9)))
        ],
    )
    data = open_data(tmp_path / "plain")
    assert {split: len(part) for split, part in data.splits.items()} == names
    assert all(name.startswith("images/test_") for name in data.splits["test"].names)
