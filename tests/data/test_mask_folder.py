import shutil

import numpy as np
import pytest

from foveate.data.open import open_data, reopen
from foveate.errors import DataError
from tests.data.image_samples import make_folder, pixels, save
from tests.data.mask_samples import labels, make_masks, save_mask


@pytest.mark.parametrize(
    "where, mask",
    [
        ("{split}/images/{n}.jpg", "{split}/masks/{n}.png"),
        ("{split}/imgs/deep/{n}.jpg", "{split}/labels/deep/{n}_mask.png"),
        ("{split}/images/{n}.jpg", "{split}/vessels/{n}.png"),
        ("Images/{split}/{n}.jpg", "annotations/{split}/{n}.png"),
        ("{split}/{n}.jpg", "{split}annot/{n}.png"),
        ("{split}/{n}.jpg", "{split}_labels/{n}_L.png"),
        ("{split}/{n}.jpg", "{split}/{n}_mask.png"),
    ],
)
def test_layouts_are_known_without_being_named(tmp_path, where, mask):
    data = open_data(make_masks(tmp_path, where, mask, ("train", "val", "test")))
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 4, "val": 4, "test": 4}
    assert data.truth == "mask" and data.classes == ("0", "1", "2")
    for name, first in (("train", 0), ("val", 4), ("test", 8)):
        split = data.splits[name]
        assert split.targets.tolist() == [0] * 4
        for item in range(4):
            np.testing.assert_array_equal(split.masks(item), labels(first + item))
            assert abs(split.load(item).astype(int) - pixels(first + item)).mean() < 8  # a JPEG of it
    assert reopen(data.origin).fingerprint == data.fingerprint


@pytest.mark.parametrize("where, mask", [("images/{n}.png", "gt/{n}.png"), ("{n}.png", "{n}-mask.png")])
def test_one_piece_is_cut_by_the_seed(tmp_path, where, mask):
    make_masks(tmp_path, where, mask, ("",), each=20)
    one, again, other = (open_data(tmp_path, seed=seed) for seed in (0, 0, 1))
    assert {name: len(split) for name, split in one.splits.items()} == {"train": 14, "val": 2, "test": 4}
    assert one.splits["test"].names == again.splits["test"].names != other.splits["test"].names
    name = one.splits["test"].files[2].stem
    np.testing.assert_array_equal(one.splits["test"].masks(2), labels(int(name)))


def test_voc_is_cut_by_its_lists_and_images_without_a_class_mask_do_not_matter(tmp_path):
    root = make_masks(
        tmp_path / "VOCdevkit" / "VOC2012", "JPEGImages/{n}.jpg", "SegmentationClass/{n}.png", ("",), 6
    )
    save(root / "JPEGImages" / "only_boxes.jpg", 90)
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("0\n3\n5\n")
    (lists / "val.txt").write_text("1\n")
    (lists / "trainval.txt").write_text("0\n1\n3\n5\n")
    data = open_data(tmp_path)
    assert [file.stem for file in data.splits["train"].files] == ["0", "3", "5"]
    assert [file.stem for file in data.splits["test"].files] == ["1"]
    (lists / "val.txt").write_text("1\nonly_boxes\n")
    with pytest.raises(DataError, match=r"1 image has no mask.*only_boxes\.jpg"):
        open_data(tmp_path)
    (lists / "val.txt").write_text("3\n")
    with pytest.raises(DataError, match="3 is listed twice"):
        open_data(tmp_path)


def test_camvids_lists_carry_paths_of_another_machine(tmp_path):
    root = make_masks(tmp_path, "images/{n}.png", "masks/{n}.png", ("",), 5)
    (root / "train.txt").write_text(
        "/SegNet/CamVid/train/0.png /SegNet/CamVid/trainannot/0.png\n/x/2.png /y/2.png\n"
    )
    (root / "test.txt").write_text("/SegNet/CamVid/test/4.png /SegNet/CamVid/testannot/4.png\n")
    data = open_data(root)
    assert {name: [f.stem for f in split.files] for name, split in data.splits.items()} == {
        "train": ["0", "2"],
        "test": ["4"],
    }
    (root / "test.txt").write_text("7.png\n")
    with pytest.raises(DataError, match="no image is called 7"):
        open_data(root)


def test_outside_the_field_of_view_nothing_counts_if_asked(tmp_path):
    root = make_masks(tmp_path, mask="{split}/vessels/{n}.png", classes=2)
    fov = np.zeros((24, 32), dtype=np.uint8)
    fov[4:20, 5:30] = 255
    for split in ("train", "test"):
        for n in range(4):
            save_mask(root / split / "fov" / f"{n}.png", fov, "1")
    plain, inside = open_data(root), open_data(root, ignore_outside="fov")
    assert any('ignore_outside="fov"' in note for note in plain.origin["notes"])
    np.testing.assert_array_equal(
        inside.splits["train"].masks(1), np.where(fov == 255, plain.splits["train"].masks(1), 255)
    )
    assert inside.fingerprint != plain.fingerprint == open_data(root).fingerprint
    assert reopen(inside.origin).fingerprint == inside.fingerprint
    save_mask(root / "train" / "fov" / "2.png", fov[:20], "1")
    with pytest.raises(DataError, match=r"2\.png: 32x20 pixels, but 2\.png has 32x24"):
        open_data(root, ignore_outside="fov").splits["train"].masks(2)
    (root / "train" / "fov" / "3.png").unlink()
    with pytest.raises(DataError, match=r"has nothing for 3\.jpg"):
        open_data(root, ignore_outside="fov")
    with pytest.raises(DataError, match="no such folder"):
        open_data(root, ignore_outside="disc")


def test_what_does_not_fit_is_named(tmp_path):
    root = make_masks(tmp_path)
    spare = save_mask(root / "train" / "masks" / "9.png", labels(9))
    assert "1 mask has no image and is left out" in open_data(root).origin["notes"]
    spare.unlink()
    (root / "test" / "masks" / "2.png").unlink()
    with pytest.raises(DataError, match=r"1 image has no mask: test/images/2\.jpg"):
        open_data(root)
    shutil.copytree(root / "test" / "masks", root / "test" / "labels")
    with pytest.raises(DataError, match=r'labels, masks might all hold the masks.*masks="labels"'):
        open_data(root)


def test_folders_of_unusual_names_are_asked_for_and_can_be_named(tmp_path):
    root = make_masks(tmp_path, "{split}/rgb/{n}.png", "{split}/truth/{n}.png")
    data = open_data(root, images="rgb", masks="truth")
    np.testing.assert_array_equal(data.splits["test"].masks(0), labels(4))
    assert reopen(data.origin).fingerprint == data.fingerprint
    with pytest.raises(DataError, match=r"no folders rgb and trith.*Found test \(8 images\), train"):
        open_data(root, images="rgb", masks="trith")
    root = make_masks(tmp_path / "flat", "images/{n}.png", "ref/{n}.png", ("",))
    with pytest.raises(DataError, match=r'images and ref.*masks="ref"'):
        open_data(root)
    np.testing.assert_array_equal(open_data(root, masks="ref").splits["train"].masks(0), labels(0))


def test_names_that_never_meet_are_shown(tmp_path):
    root = make_masks(tmp_path, "images/a{n}.png", "masks/b{n}.png", ("",))
    with pytest.raises(DataError, match=r"images are called a0\.png.*masks b0\.png"):
        open_data(root)


def test_the_fingerprint_follows_masks_and_what_they_mean(tmp_path):
    root = make_masks(tmp_path)
    first = open_data(root)
    assert open_data(root, ignore_index=2).fingerprint != first.fingerprint
    save_mask(root / "train" / "masks" / "0.png", labels(50))
    assert open_data(root).fingerprint != first.fingerprint


def test_class_folders_stay_class_folders(tmp_path):
    data = open_data(make_folder(tmp_path, classes=("mask", "no_mask")))
    assert data.truth == "label" and data.classes == ("mask", "no_mask")
