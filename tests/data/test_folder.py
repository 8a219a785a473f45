import shutil

import numpy as np
import pytest
from image_samples import make_folder, pixels, save

from foveate.data.folder import strangers
from foveate.data.open import open_data, reopen
from foveate.errors import DataError


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("train", "valid", "test"), ("Train", "validation", "Testing")]
)
def test_three_splits_under_any_of_their_names(tmp_path, names):
    data = open_data(make_folder(tmp_path, names))
    assert list(data.splits) == ["train", "val", "test"]
    assert data.classes == ("cat", "dog")
    assert data.splits["train"].targets.tolist() == [0] * 6 + [1] * 6
    assert data.splits["train"].names[7] == f"{names[0]}/dog/1.png"
    np.testing.assert_array_equal(data.splits["train"].load(7), pixels(7))


def test_two_splits_stay_two(tmp_path):
    assert list(open_data(make_folder(tmp_path)).splits) == ["train", "test"]


def test_without_test_the_validation_images_are_the_test_and_it_is_noted(tmp_path):
    data = open_data(make_folder(tmp_path, ("train", "val")))
    assert list(data.splits) == ["train", "test"]
    assert data.splits["test"].names[0].startswith("val/")
    assert "validation images" in data.origin["notes"][0]


def test_a_flat_folder_is_cut_by_the_seed(tmp_path):
    make_folder(tmp_path, ("",), each=20)
    one, again, other = (open_data(tmp_path, seed=seed) for seed in (0, 0, 1))
    assert {name: len(split) for name, split in one.splits.items()} == {"train": 28, "val": 4, "test": 8}
    assert np.bincount(one.splits["test"].targets).tolist() == [4, 4]
    assert one.splits["test"].names == again.splits["test"].names != other.splits["test"].names
    assert one.fingerprint == again.fingerprint != other.fingerprint
    assert not set(one.splits["train"].names) & set(one.splits["test"].names)


def test_shares_of_a_flat_folder_are_kept_when_reopened(tmp_path):
    make_folder(tmp_path, ("",), each=20)
    data = open_data(str(tmp_path), seed=5, shares=(0.5, 0.0, 0.5))
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 20, "test": 20}
    again = reopen(data.origin)
    assert again.fingerprint == data.fingerprint


def test_classes_called_train_and_test_are_classes(tmp_path):
    make_folder(tmp_path, ("",), classes=("train", "test"), each=10)
    assert open_data(tmp_path).classes == ("test", "train")


def test_the_fingerprint_follows_contents_and_not_the_place(tmp_path):
    first = open_data(make_folder(tmp_path / "a"))
    shutil.copytree(tmp_path / "a", tmp_path / "elsewhere" / "b")
    assert open_data(tmp_path / "elsewhere" / "b").fingerprint == first.fingerprint
    save(tmp_path / "a" / "train" / "cat" / "0.png", 99)
    assert open_data(tmp_path / "a").fingerprint != first.fingerprint


def test_images_below_a_class_folder_count_and_other_files_do_not(tmp_path):
    make_folder(tmp_path)
    save(tmp_path / "train" / "cat" / "more" / "9.jpg", 50)
    (tmp_path / "train" / "cat" / "notes.txt").write_text("hello")
    (tmp_path / "train" / "list.csv").write_text("a,b")
    (tmp_path / "README.md").write_text("#")
    (tmp_path / "train" / ".DS_Store").write_text("")
    data = open_data(tmp_path)
    assert "train/cat/more/9.jpg" in data.splits["train"].names and len(data.splits["train"]) == 13
    found = {path.relative_to(tmp_path).as_posix() for path in strangers(tmp_path)}
    assert found == {"train/cat/notes.txt", "train/list.csv", "README.md"}


def test_a_folder_one_level_too_high_is_guessed(tmp_path):
    make_folder(tmp_path / "inner")
    with pytest.raises(DataError, match=r"Did you mean .*inner"):
        open_data(tmp_path)
    make_folder(tmp_path / "other" / "inner", ("",))
    with pytest.raises(DataError, match=r"Did you mean .*inner"):
        open_data(tmp_path / "other")


def test_images_without_class_folders_are_told(tmp_path):
    save(tmp_path / "1.png", 1)
    with pytest.raises(DataError, match="one folder per class"):
        open_data(tmp_path)


def test_splits_without_train_or_named_twice_are_told(tmp_path):
    make_folder(tmp_path / "a", ("val", "test"))
    with pytest.raises(DataError, match="no train"):
        open_data(tmp_path / "a")
    make_folder(tmp_path / "b", ("train", "val", "valid", "test"))
    with pytest.raises(DataError, match="both mean val"):
        open_data(tmp_path / "b")
