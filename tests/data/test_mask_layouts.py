"""Sets of images and masks open right as their authors hand them out: each mask with its image and split."""

import numpy as np
import pytest
from PIL import Image

from foveate.data.folders.tree import scan
from foveate.data.masks.layout import find_pairs
from foveate.data.open import open_data, reopen
from foveate.errors import DataError, OptionError
from foveate.tasks.image_task import ImageTask
from tests.data.image_samples import pixels, save
from tests.data.mask_samples import assert_paired, binary, build, labels, number, save_mask

LAYOUTS = {
    "DRIVE": (
        [
            ("training/images/{n}_training.tif", "training/1st_manual/{n}_manual1.gif", range(21, 25)),
            ("test/images/{n:02}_test.tif", "test/1st_manual/{n:02}_manual1.gif", range(1, 4)),
        ],
        {"train": 4, "test": 3},
    ),
    "competition": (
        [
            ("train/car_{n:03}.jpg", "train_masks/car_{n:03}_mask.gif", range(12)),
            ("test/car_{n:03}.jpg", None, range(20, 24)),
        ],
        {"train": 9, "val": 1, "test": 2},
    ),
    "splits beside each other": (
        [
            ("DUTS-TR/DUTS-TR-Image/{n}.jpg", "DUTS-TR/DUTS-TR-Mask/{n}.png", range(5)),
            ("DUTS-TE/DUTS-TE-Image/{n}.jpg", "DUTS-TE/DUTS-TE-Mask/{n}.png", range(5, 8)),
        ],
        {"train": 5, "test": 3},
    ),
    "words in long names": (
        [
            (
                "ISIC_Task1-2_Training_Input/I_{n}.jpg",
                "ISIC_Task1_Training_GroundTruth/I_{n}_segmentation.png",
                range(6),
            ),
            (
                "ISIC_Task1-2_Test_Input/I_{n}.jpg",
                "ISIC_Task1_Test_GroundTruth/I_{n}_segmentation.png",
                range(6, 9),
            ),
        ],
        {"train": 6, "test": 3},
    ),
    "nnU-Net": (
        [
            ("imagesTr/c_{n:03}_0000.png", "labelsTr/c_{n:03}.png", range(10)),
            ("imagesTs/c_{n:03}_0000.png", None, range(30, 33)),
        ],
        {"train": 7, "val": 1, "test": 2},
    ),
    "official parts below images": (
        [
            ("images/train2017/{n:06}.jpg", "annotations/train2017/{n:06}.png", range(5)),
            ("images/val2017/{n:06}.jpg", "annotations/val2017/{n:06}.png", range(9, 12)),
        ],
        {"train": 5, "test": 3},
    ),
    "places in splits": (
        [
            (
                f"{split}/{place}/images_png/{{n}}.png",
                f"{split}/{place}/masks_png/{{n}}.png",
                range(first, first + 3),
            )
            for split, place, first in (("Train", "Rural", 0), ("Train", "Urban", 3), ("Test", "Urban", 6))
        ],
        {"train": 6, "test": 3},
    ),
    "satellite": ([("{n}_sat.jpg", "{n}_mask.png", range(10))], {"train": 7, "val": 1, "test": 2}),
    "prefixes": (
        [("images/img_{n:03}.png", "masks/mask_{n:03}.png", range(10))],
        {"train": 7, "val": 1, "test": 2},
    ),
    "arrays": ([("images/{n}.png", "masks/{n}.npy", range(10))], {"train": 7, "val": 1, "test": 2}),
    "archives beside": ([("{n}.png", "{n}_mask.npz", range(10))], {"train": 7, "val": 1, "test": 2}),
    "X-Image": ([("X-Image/{n}.png", "X-Mask/{n}.png", range(10))], {"train": 7, "val": 1, "test": 2}),
    "folder below masks": (
        [("images/{n}.png", "annotations/trimaps/{n}.png", range(10))],
        {"train": 7, "val": 1, "test": 2},
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_set_as_it_is_handed_out(tmp_path, name):
    parts, sizes = LAYOUTS[name]
    build(tmp_path, parts)
    data = open_data(tmp_path)
    assert data.truth == "mask" and {split: len(part) for split, part in data.splits.items()} == sizes
    assert_paired(data, number)
    assert reopen(data.origin).fingerprint == data.fingerprint


def test_the_field_of_view_is_not_taken_for_what_was_drawn_by_hand(tmp_path):
    build(tmp_path, LAYOUTS["DRIVE"][0])
    view = np.zeros((24, 32), np.uint8)
    view[4:20, 5:30] = 255
    for split, word, numbers in (("training", "training", range(21, 25)), ("test", "test", range(1, 4))):
        for n in numbers:
            save_mask(tmp_path / split / "mask" / f"{n:02}_{word}_mask.gif", view)
            save_mask(tmp_path / split / "2nd_manual" / f"{n:02}_manual2.gif", binary(n + 50))
    plain, inside = open_data(tmp_path), open_data(tmp_path, ignore_outside="mask")
    assert_paired(plain, number)
    assert any('ignore_outside="mask"' in note for note in plain.origin["notes"])
    wanted = np.where(view == 255, labels(21, classes=2), 255)
    np.testing.assert_array_equal(inside.splits["train"].masks(0), wanted)
    chosen = open_data(tmp_path, masks="2nd_manual").splits["train"].masks(0)
    np.testing.assert_array_equal(chosen, labels(71, classes=2))


@pytest.fixture
def cityscapes(tmp_path):
    for split, cities in (("train", ("aachen", "bochum")), ("val", ("lindau",)), ("test", ("bonn",))):
        for city in cities:
            for n in range(2):
                stem = f"{city}_{n:06}_000019"
                save(tmp_path / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png", n)
                ids = np.full((24, 32), 7 if split != "test" else 3, np.uint8)
                ids[8:20, 10:30] = 26 if split != "test" else 0
                folder = tmp_path / "gtFine" / split / city
                save_mask(folder / f"{stem}_gtFine_labelIds.png", ids)
                save_mask(folder / f"{stem}_gtFine_instanceIds.png", ids.astype(np.uint16) * 1000)
                save_mask(folder / f"{stem}_gtFine_color.png", np.dstack([ids, ids * 2, ids * 3]))
                (folder / f"{stem}_gtFine_polygons.json").write_text("{}")
    return tmp_path


def test_cityscapes_has_its_nineteen_classes_and_no_test_masks(cityscapes):
    data = open_data(cityscapes)
    assert len(data.classes) == 19 and (data.classes[0], data.classes[13]) == ("road", "car")
    assert data.colours[13].tolist() == [0, 0, 142]
    assert {split: len(part) for split, part in data.splits.items()} == {"train": 4, "test": 2}
    assert all("val/lindau" in name for name in data.splits["test"].names)
    assert set(np.unique(data.splits["train"].masks(0))) == {0, 13}
    assert any("every pixel of the masks of test is ignored" in note for note in data.origin["notes"])
    assert any("classes=34" in note for note in data.origin["notes"])
    whole = open_data(cityscapes, images="leftImg8bit", masks="gtFine", classes=34)
    assert set(np.unique(whole.splits["train"].masks(0))) == {7, 26}
    assert reopen(data.origin).fingerprint == data.fingerprint != whole.fingerprint


def test_cityscapes_training_ids_are_preferred(cityscapes):
    for path in cityscapes.rglob("*_labelIds.png"):
        made = np.where(np.asarray(Image.open(path)) == 26, 13, 0).astype(np.uint8)
        save_mask(path.with_name(path.name.replace("labelIds", "labelTrainIds")), made)
    data = open_data(cityscapes)
    assert data.classes[13] == "car" and set(np.unique(data.splits["train"].masks(0))) == {0, 13}
    assert list(data.splits) == ["train", "val", "test"]


def test_voc_as_published_has_its_names_and_boxes_and_objects_do_not_matter(tmp_path):
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for n in range(6):
        save(root / f"JPEGImages/2007_{n:06}.jpg", n)
        save_mask(root / f"SegmentationClass/2007_{n:06}.png", labels(n))
        save_mask(root / f"SegmentationObject/2007_{n:06}.png", labels(n + 9))
        (root / "Annotations").mkdir(exist_ok=True)
        (root / "Annotations" / f"2007_{n:06}.xml").write_text("<annotation/>")
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    (root / "ImageSets/Main").mkdir()
    (root / "ImageSets/Main/cat_train.txt").write_text("2007_000005 -1\n")
    for name, numbers in (("train", range(4)), ("val", range(4, 6)), ("trainval", range(6))):
        text = "".join(f"2007_{n:06}\n" for n in numbers)
        (root / "ImageSets/Segmentation" / f"{name}.txt").write_text(text)
    for place in (tmp_path, root):
        data = open_data(place)
        assert data.classes[:3] == ("background", "aeroplane", "bicycle") and len(data.classes) == 21
        assert {split: len(part) for split, part in data.splits.items()} == {"train": 4, "test": 2}
        np.testing.assert_array_equal(data.splits["test"].masks(1), labels(5))


def test_one_mask_for_each_class(tmp_path):
    for n in range(10):
        save(tmp_path / "images" / f"{n}.png", n)
        for label in range(2):
            mask = np.zeros((24, 32), np.uint8)
            mask[10 * label : 10 * label + 8, 4:20] = 255
            save_mask(tmp_path / "masks" / str(label) / f"{n}.png", mask)
    data = open_data(tmp_path)
    assert data.classes == ("background", "0", "1")
    mask = data.splits["train"].masks(0)
    assert (mask[0, 4], mask[10, 4], mask[9, 4]) == (1, 2, 0)
    assert open_data(tmp_path, classes=["ground", "0", "1"]).classes == ("ground", "0", "1")
    with pytest.raises(OptionError, match="mask files for 0, 1"):
        open_data(tmp_path, classes=["a", "b"])
    save_mask(tmp_path / "masks" / "1" / "3.png", labels(3))
    with pytest.raises(DataError, match=r"3\.png: is one of several masks .* holds the values 0, 1, 2"):
        open_data(tmp_path)


def test_classes_in_the_names_of_files_and_in_folders_that_hold_some_images_each(tmp_path):
    for n in range(10):
        for root in ("tails", "folders"):
            save(tmp_path / root / "images" / f"{n}.png", n)
        for label in ("car", "sky"):
            save_mask(tmp_path / "tails" / "masks" / f"{n}_{label}.png", binary(n))
        save_mask(tmp_path / "folders" / "masks" / ("cat" if n < 5 else "dog") / f"{n}.png", binary(n))
    assert open_data(tmp_path / "tails").classes == ("background", "car", "sky")
    data = open_data(tmp_path / "folders")
    assert data.classes == ("background", "cat", "dog")
    for part in data.splits.values():
        for item, file in enumerate(part.files):
            found = set(np.unique(part.masks(item)).tolist())
            assert found == {0, 1 if int(file.stem) < 5 else 2}


OBJECTS = {
    "a folder for each image": ("{n:03}/images/{n:03}.png", "{n:03}/masks/{k}.png"),
    "a folder for each image's masks": ("images/im{n}.png", "masks/im{n}/{k}.png"),
    "numbered files": ("images/a{n}.png", "masks/a{n}_{k}.png"),
    "beside each other": ("benign/benign ({n}).png", "benign/benign ({n})_mask_{k}.png"),
}


@pytest.mark.parametrize("where", OBJECTS)
def test_one_mask_for_each_object(tmp_path, where):
    image, mask = OBJECTS[where]
    for n in range(10):
        save(tmp_path / image.format(n=n), n)
        for k in range(1, 3):
            save_mask(tmp_path / mask.format(n=n, k=k), binary(10 * n + k))
    data = open_data(tmp_path)
    assert data.classes == ("background", "foreground") and sum(map(len, data.splits.values())) == 10
    for split in data.splits.values():
        for item, file in enumerate(split.files):
            n = int("".join(letter for letter in file.stem if letter.isdecimal()))
            wanted = labels(10 * n + 1, classes=2) | labels(10 * n + 2, classes=2)
            np.testing.assert_array_equal(split.masks(item), wanted)
    assert not [f for f in ImageTask.check_source(tmp_path) if f.severity == "error"]


def test_frames_of_equal_names_are_not_mixed_up(tmp_path):
    for n, folder in enumerate(("a", "b")):
        build(tmp_path, [(f"images/seq_{folder}/{{n:04}}.png", None, range(4))])
        for k in range(4):
            save_mask(tmp_path / f"masks/seq_{folder}/{k:04}.png", binary(10 * n + k))
    data = open_data(tmp_path, shares=(0.5, 0, 0.5))
    assert sum(map(len, data.splits.values())) == 8
    assert_paired(data, lambda file: 10 * (file.parent.name == "seq_b") + int(file.stem))
    for file in (tmp_path / "masks/seq_b").iterdir():
        file.unlink()
    with pytest.raises(DataError, match=r"4 images have no mask: images/seq_b/0000\.png"):
        open_data(tmp_path)


@pytest.mark.parametrize(
    "parts, said",
    [
        (
            [
                (f"fold{k}/{s}/images/{{n}}.png", f"fold{k}/{s}/masks/{{n}}.png", r)
                for k in (1, 2)
                for s, r in (("train", range(3)), ("test", range(3, 5)))
            ],
            r"several folds \(fold1, fold2\).*Did you mean .*fold1",
        ),
        (
            [
                ("images/{n}.png", "masks/{n}.png", range(4)),
                ("images/{n}.png", "masks/{n}_mask.png", range(4)),
            ],
            "several files might be its mask",
        ),
        (
            [
                ("images/{n}.png", "masks/{n}_rater1.png", range(4)),
                ("images/{n}.png", "masks/{n}_rater2.png", range(4)),
            ],
            "several files might be its mask",
        ),
        (
            [("images/{n}.png", "gt/{n}.png", range(4)), ("images/{n}.png", "labels/{n}.png", range(4))],
            r"gt, labels might all.*--masks gt",
        ),
    ],
)
def test_what_is_in_doubt_is_refused_with_what_to_say(tmp_path, parts, said):
    build(tmp_path, parts)
    with pytest.raises(DataError, match=said):
        open_data(tmp_path)


def test_the_left_eye_is_not_a_mask_of_the_other(tmp_path):
    for label in ("ill", "well"):
        for n in range(8):
            save(tmp_path / label / f"{n}.png", n)
            save(tmp_path / label / f"{n}_L.png", n + 50)
    assert open_data(tmp_path).truth == "label"
    for path in tmp_path.rglob("*_L.png"):
        save_mask(path, binary(1))
    assert open_data(tmp_path).truth == "mask"


def test_images_and_masks_can_be_named_by_path(tmp_path):
    build(tmp_path / "a", [("pics/{n}.png", "../b/truths/{n}.png", range(10))])
    for images, masks in (("pics", "../b/truths"), ("pics", tmp_path / "b" / "truths")):
        data = open_data(tmp_path / "a", images=images, masks=str(masks))
        assert_paired(data, number)
    assert find_pairs(scan(tmp_path / "a")) is None


def test_pictures_are_not_images_of_masks_that_only_a_word_makes_such(tmp_path):
    for label in ("mask", "helmet"):
        for n in range(8):
            save(tmp_path / label / f"{n}.png", n + 100 * (label == "mask"))
    assert open_data(tmp_path).classes == ("helmet", "mask")
    assert pixels(0).shape == (24, 32, 3)
