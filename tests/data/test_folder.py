import shutil

import numpy as np
import pytest

from foveate.data.folders.class_folders import ignored_files
from foveate.data.folders.tree import scan
from foveate.data.open import open_data, reopen
from foveate.errors import DataError, OptionError
from tests.data.image_samples import make_folder, pixels, save
from tests.data.mask_samples import labels, save_mask


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


def test_classes_called_train_and_test_are_classes_if_the_user_says_so(tmp_path):
    make_folder(tmp_path, ("",), classes=("train", "test"), each=10)
    with pytest.raises(DataError, match=r'look like splits.*class_folders="outer".*--class-folders outer'):
        open_data(tmp_path)
    data = open_data(tmp_path, class_folders="outer")
    assert data.classes == ("test", "train")
    assert reopen(data.origin).fingerprint == data.fingerprint


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
    found = {path.relative_to(tmp_path).as_posix() for path in ignored_files(scan(tmp_path))}
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


@pytest.mark.parametrize(
    "where",
    [
        "{split}ing_set/{label}/{n}.png",
        "{split}Dataset/{label}/{n}.png",
        "{split} Images/{label}/{n}.png",
        "seg_{split}/seg_{split}/{label}/{n}.png",
        "{split}/images/{label}/{n}.png",
        "weather-{split}/{label}/{n}.png",
    ],
)
def test_splits_under_names_that_are_close_to_the_usual(tmp_path, where):
    for number, (split, label) in enumerate((s, c) for s in ("train", "test") for c in ("cat", "dog")):
        for n in range(6):
            save(tmp_path / where.format(split=split, label=label, n=n), 10 * number + n)
    data = open_data(tmp_path)
    assert data.classes == ("cat", "dog")
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 12, "test": 12}


@pytest.mark.parametrize("where", ["test/{n}.png", "test/test/{n}.png", "test/unknown/{n}.png"])
def test_a_test_set_without_labels_is_left_out_and_train_is_cut(tmp_path, where):
    make_folder(tmp_path, ("train",), each=10)
    for n in range(5):
        save(tmp_path / where.format(n=n), 100 + n)
    data = open_data(tmp_path)
    assert data.classes == ("cat", "dog") and all(n.startswith("train/") for n in data.splits["test"].names)
    assert sum(map(len, data.splits.values())) == 20
    assert any("left out" in note for note in data.origin["notes"])
    assert reopen(data.origin).fingerprint == data.fingerprint


def test_images_beside_the_splits_are_left_out_and_that_is_said(tmp_path):
    make_folder(tmp_path, ("seg_train", "seg_test"))
    save(tmp_path / "seg_pred" / "1.png", 99)
    assert "the 1 image in seg_pred is in no split and is left out" in open_data(tmp_path).origin["notes"]


@pytest.mark.parametrize(
    "names", [("train",), ("cat_train", "cat_test", "dog_train", "dog_test"), ("train", "test1")]
)
def test_classes_that_look_like_splits_are_refused(tmp_path, names):
    make_folder(tmp_path, ("",), classes=names)
    with pytest.raises(DataError, match="look like splits"):
        open_data(tmp_path)


@pytest.mark.parametrize(
    "names", [("bus", "train"), ("bullet_train", "bus", "steam_train"), ("beaker", "test_tube")]
)
def test_a_class_may_have_a_word_of_a_split_in_its_name(tmp_path, names):
    assert open_data(make_folder(tmp_path, ("",), classes=names)).classes == names


def test_classes_within_classes_are_asked_for(tmp_path):
    for number, path in enumerate(("thing/car", "thing/ship", "animal/cat", "animal/dog")):
        for n in range(10):
            save(tmp_path / path / f"{n}.png", 10 * number + n)
    with pytest.raises(DataError, match=r"no images themselves.*car, cat, dog, ship.*--class-folders inner"):
        open_data(tmp_path)
    for level, classes in (
        ("outer", ("animal", "thing")),
        ("inner", ("car", "cat", "dog", "ship")),
        ("path", ("animal/cat", "animal/dog", "thing/car", "thing/ship")),
    ):
        data = open_data(tmp_path, class_folders=level)
        assert data.classes == classes and sum(map(len, data.splits.values())) == 40
        assert reopen(data.origin).fingerprint == data.fingerprint
    with pytest.raises(OptionError, match="expected one of 'outer', 'inner', 'path'"):
        open_data(tmp_path, class_folders="middle")


def test_pictures_and_masks_in_folders_of_any_name_are_not_two_classes(tmp_path):
    for n in range(8):
        save(tmp_path / "A" / f"{n}.png", n)
        save_mask(tmp_path / "B" / f"{n}.png", labels(n))
    with pytest.raises(DataError, match=r'same names.*images="A", masks="B".*--images A --masks B'):
        open_data(tmp_path)
    assert open_data(tmp_path, images="A", masks="B").truth == "mask"
    assert open_data(tmp_path, class_folders="outer").classes == ("A", "B")
    for n in range(8):
        save(tmp_path / "B" / f"{n}.png", 50 + n)
    assert open_data(tmp_path).classes == ("A", "B")
