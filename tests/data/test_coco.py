import json

import numpy as np
import pytest
from image_samples import save
from matplotlib.path import Path as Outline

from foveate.data.coco_shapes import polygon_region, run_length_region
from foveate.data.open import open_data, reopen
from foveate.errors import DataError


def run_lengths(region):
    """COCO's uncompressed counts, one pixel at a time."""
    counts, last = [0], False
    for value in region.T.reshape(-1).tolist():
        if value != last:
            counts.append(0)
            last = value
        counts[-1] += 1
    return counts


def compressed(counts):
    """COCO's string, by its definition: differences from the fourth on, five bits a character."""
    text = ""
    for place, count in enumerate(counts):
        number = count - counts[place - 2] if place > 2 else count
        more = True
        while more:
            bits, number = number & 31, number >> 5
            more = number != -1 if bits & 16 else number != 0
            text += chr(48 + (bits | 32 if more else bits))
    return text


@pytest.mark.parametrize("seed", range(5))
def test_a_pixel_is_inside_if_its_centre_is(seed):
    points = np.random.default_rng(seed).uniform(-5, 45, (7, 2))
    xs, ys = np.meshgrid(np.arange(40) + 0.5, np.arange(30) + 0.5)
    region = polygon_region(points.reshape(-1).tolist(), 30, 40)
    crossings = np.zeros((30, 40), dtype=int)  # even-odd: how many edges a ray to the left meets
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        spans = (ys >= min(y0, y1)) & (ys < max(y0, y1))
        crossings += spans & (x0 + (ys - y0) * (x1 - x0) / (y1 - y0) <= xs)
    np.testing.assert_array_equal(region, crossings % 2 == 1)
    hull = points[[0, 1, 2]]
    inside = Outline(hull).contains_points(np.stack([xs, ys], axis=-1).reshape(-1, 2)).reshape(30, 40)
    np.testing.assert_array_equal(polygon_region(hull.reshape(-1).tolist(), 30, 40), inside)


def test_a_box_covers_exactly_its_pixels():
    region = polygon_region([2, 1, 6, 1, 6, 4, 2, 4], 8, 9)
    wanted = np.zeros((8, 9), dtype=bool)
    wanted[1:4, 2:6] = True
    np.testing.assert_array_equal(region, wanted)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_run_lengths_come_back(share):
    region = np.random.default_rng(0).random((37, 53)) < share
    counts = run_lengths(region)
    np.testing.assert_array_equal(run_length_region(counts, [37, 53], 37, 53), region)
    np.testing.assert_array_equal(run_length_region(compressed(counts), [37, 53], 37, 53), region)


def test_a_string_of_cocos_own_reads_as_it_does_there():
    assert compressed([6, 1, 40, 4, 5, 4, 5, 4, 21]) == "61X13mN000`0"  # a much copied example
    region = run_length_region("61X13mN000`0", [9, 10], 9, 10)
    assert run_lengths(region) == [6, 1, 40, 4, 5, 4, 5, 4, 21]


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: polygon_region([1, 2, 3, 4], 5, 5), "4 numbers"),
        (lambda: run_length_region([20, 4], [4, 6], 5, 5), "24 pixels"),
        (lambda: run_length_region([20, 4], [5, 5], 5, 5), "24 pixels"),
    ],
)
def test_what_cannot_be_drawn_is_told(call, said):
    with pytest.raises(DataError, match=said):
        call()


def box(top, left, bottom, right):
    return [[left, top, right, top, right, bottom, left, bottom]]


def annotations(names, notes):
    return {
        "images": [
            {"id": 10 + n, "file_name": name, "height": 12, "width": 16} for n, name in enumerate(names)
        ],
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": [{"id": n, "iscrowd": 0, **note} for n, note in enumerate(notes)],
    }


@pytest.fixture
def root(tmp_path):
    crowd = np.zeros((12, 16), dtype=bool)
    crowd[6:12, 0:10] = True
    notes = [
        {"image_id": 10, "category_id": 7, "segmentation": box(1, 2, 5, 9)},
        {"image_id": 10, "category_id": 3, "segmentation": box(3, 4, 8, 12) + box(0, 14, 2, 16)},
        {
            "image_id": 10,
            "category_id": 3,
            "iscrowd": 1,
            "segmentation": {"counts": run_lengths(crowd), "size": [12, 16]},
        },
        {"image_id": 11, "category_id": 7, "segmentation": []},
    ]
    for split in ("train", "val"):
        names = [f"{split}{n}.png" for n in range(3)]
        for n, name in enumerate(names):
            save(tmp_path / f"{split}2017" / name, 10 * len(split) + n, 12, 16)
        (tmp_path / "annotations").mkdir(exist_ok=True)
        (tmp_path / "annotations" / f"instances_{split}2017.json").write_text(
            json.dumps(annotations(names, notes))
        )
        (tmp_path / "annotations" / f"captions_{split}2017.json").write_text(json.dumps({"images": []}))
    return tmp_path


def test_later_annotations_cover_earlier_ones_and_crowds_are_ignored(root):
    data = open_data(root)
    assert data.classes == ("background", "cat", "dog") and list(data.splits) == ["train", "test"]
    wanted = np.zeros((12, 16), dtype=np.uint8)
    wanted[6:12, 0:10] = 255
    wanted[1:5, 2:9] = 2
    wanted[3:8, 4:12] = 1
    wanted[0:2, 14:16] = 1
    np.testing.assert_array_equal(data.splits["train"].masks(0), wanted)
    assert not data.splits["test"].masks(1).any()
    assert data.splits["train"].load(0).shape == (12, 16, 3)
    assert reopen(data.origin).fingerprint == data.fingerprint
    bare = open_data(root, background="ignore")
    assert bare.classes == ("cat", "dog")
    np.testing.assert_array_equal(
        bare.splits["train"].masks(0), np.array([255, 0, 1, 255])[[0, 1, 2, 3]][wanted.clip(max=3)]
    )
    assert bare.fingerprint != data.fingerprint


def test_one_file_is_cut_by_the_seed(root):
    data = open_data(root / "annotations" / "instances_train2017.json", images="../train2017")
    assert sum(len(split) for split in data.splits.values()) == 3
    assert open_data(root / "annotations" / "instances_train2017.json").fingerprint == data.fingerprint


def test_faults_are_named(root):
    file = root / "annotations" / "instances_train2017.json"
    whole = json.loads(file.read_text())
    for change, said in (
        (
            {"annotations": [{"id": 5, "image_id": 10, "category_id": 9, "segmentation": box(0, 0, 2, 2)}]},
            "category 9",
        ),
        ({"images": [{**whole["images"][0], "file_name": "gone.png"}]}, r"no such image.*gone\.png"),
        ({"categories": [{"id": 1, "name": "cow"}]}, "other categories"),
    ):
        file.write_text(json.dumps(whole | change))
        with pytest.raises(DataError, match=said):
            open_data(root)
    file.write_text(
        json.dumps(whole | {"annotations": [{"image_id": 10, "category_id": 3, "segmentation": [[1, 2]]}]})
    )
    with pytest.raises(DataError, match=r"train0\.png: a segmentation cannot be drawn"):
        open_data(root).splits["train"].masks(0)
    file.write_text("{")
    with pytest.raises(DataError, match="cannot be read as JSON"):
        open_data(file)


def export(root, file, images, names):
    """One file as a labelling tool exports it, and its images."""
    for n, name in enumerate(names):
        save(root / images / name, n, 12, 16)
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    notes = [
        {"image_id": 10 + n, "category_id": 7, "segmentation": box(1, 2, 5, 9)} for n in range(len(names))
    ]
    (root / file).write_text(json.dumps(annotations(names, notes)))


@pytest.mark.parametrize(
    "file, images",
    [
        ("annotations/instances_default.json", "images/default"),
        ("annotations/instances_default.json", "images"),
        ("result.json", "images"),
        ("_annotations.coco.json", ""),
    ],
)
def test_one_export_opens_by_its_folder_and_by_its_file(tmp_path, file, images):
    export(tmp_path, file, images, [f"{n}.png" for n in range(10)])
    by_folder, by_file = open_data(tmp_path), open_data(tmp_path / file)
    assert by_folder.fingerprint == by_file.fingerprint
    assert {name: len(split) for name, split in by_folder.splits.items()} == {"train": 7, "val": 1, "test": 2}
    assert by_folder.splits["train"].masks(0).max() == 2
    assert reopen(by_folder.origin).fingerprint == by_folder.fingerprint


def test_exports_by_part_open_and_two_without_one_are_asked_for(tmp_path):
    for split in ("Train", "Validation"):
        export(
            tmp_path, f"annotations/instances_{split}.json", f"images/{split}", [f"{n}.png" for n in range(3)]
        )
    data = open_data(tmp_path)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 3, "test": 3}
    assert all("images/Validation" in str(file) for file in data.splits["test"].files)
    (tmp_path / "annotations/instances_Train.json").rename(tmp_path / "annotations/a.json")
    (tmp_path / "annotations/instances_Validation.json").rename(tmp_path / "annotations/b.json")
    with pytest.raises(DataError, match=r"annotations/a\.json, annotations/b\.json are all COCO"):
        open_data(tmp_path)


def test_annotations_of_train_alone_are_cut(tmp_path):
    export(tmp_path, "train/_annotations.coco.json", "train", [f"{n}.png" for n in range(10)])
    data = open_data(tmp_path)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 7, "val": 1, "test": 2}
    assert any("only train has annotations" in note for note in data.origin["notes"])
