import json
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from foveate.data.checks.check import check
from foveate.data.open import open_data, reopen
from foveate.errors import DataError
from tests.data.coco_samples import run_lengths
from tests.data.image_samples import save


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


@pytest.mark.parametrize("truth", ["mask", "labels"])
def test_annotations_are_not_called_ignored(root, truth):
    assert "ignored_file" not in {finding.kind for finding in check(open_data(root, truth=truth))}


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
    file.write_text("{")
    with pytest.raises(DataError, match="cannot be read as JSON"):
        open_data(file)


def one_file(folder, notes):
    """A file of three images of 16 x 12 pixels, with these annotations."""
    names = [f"{n}.png" for n in range(3)]
    for n, name in enumerate(names):
        save(folder / name, n, 12, 16)
    path = folder / "notes.json"
    path.write_text(json.dumps(annotations(names, notes)))
    return path


def note(segmentation, image=10, category=7, **more):
    return {"image_id": image, "category_id": category, "segmentation": segmentation, **more}


WHOLE = note(box(1, 2, 5, 9))


def drawn(data):
    """The pixels of all masks that hold a class, by the image's name."""
    return {
        name: int((split.masks(item) > 0).sum())
        for split in data.splits.values()
        for item, name in enumerate(split.names)
    }


UNUSABLE = [
    ([], "no outline"),
    (None, "no outline"),
    ([[1, 1, 4, 4]], "an outline of 4 numbers"),
    ([[1, 1, 4, 4, 2]], "an outline of 5 numbers"),
    ([[1, 1, "4", 4, 2, 2]], "not a list of numbers"),
    ([[1, 1, float("nan"), 4, 2, 2]], "not numbers of pixels"),
    ([[1, 1, 10**400, 4, 2, 2]], "not a list of numbers"),
    ([box(0, 0, 2, 2)[0], [1, 1]], "an outline of 2 numbers"),
    (box(20, 20, 30, 30), "outside the image"),
    ("1,1,4,4", "neither outlines nor run lengths"),
    ({"counts": [192], "size": [16, 12]}, "another size"),
    ({"counts": [144_000_000], "size": [12_000, 12_000]}, "another size"),
    ({"counts": [191], "size": [12, 16]}, "do not add up"),
    ({"counts": [-5, 197], "size": [12, 16]}, "do not add up"),
    ({"counts": [192, 10**15], "size": [12, 16]}, "do not add up"),
    ({"counts": [1.5, 191], "size": [12, 16]}, "not whole numbers"),
    ({"counts": [192, float("nan")], "size": [12, 16]}, "not whole numbers"),
    ({"counts": "~" * 800_000, "size": [12, 16]}, "invalid characters"),
    ({"counts": "o" * 30, "size": [12, 16]}, "invalid characters"),
    ({"counts": [192]}, "without a size"),
    ({"size": [12, 16]}, "neither numbers nor a text"),
]


def test_objects_that_cannot_be_drawn_are_left_out_and_told(tmp_path):
    data = open_data(one_file(tmp_path, [WHOLE, *(note(segmentation) for segmentation, _ in UNUSABLE)]))
    assert drawn(data) == {"0.png": 28, "1.png": 0, "2.png": 0}
    warnings = data.origin["warnings"]
    for number, (_, reason) in enumerate(UNUSABLE, start=1):
        (warning,) = [warning for warning in warnings if reason in warning]
        assert str(number) in re.findall(r"\d+", warning.partition("(annotations ")[2])
    assert set(warnings) <= {finding.message for finding in check(data) if finding.severity == "warning"}


def test_nothing_to_draw_at_all_is_an_error_that_says_why(tmp_path):
    path = one_file(tmp_path, [note([], bbox=[1, 1, 4, 4]), note([[1, 2]])])
    with pytest.raises(DataError, match=r"no object can.*no outline.*2 numbers"):
        open_data(path)
    data = open_data(path, truth="labels", shares=(0.5, 0, 0.5))
    assert data.truth == "labels" and data.classes == ("cat", "dog")
    assert sorted(row for split in data.splits.values() for row in split.targets.tolist()) == [
        [0, 0],
        [0, 0],
        [0, 1],
    ]


@pytest.mark.parametrize(
    "odd, reason",
    [
        (17, "not an object"),
        (note(box(1, 1, 2, 2), image=99), "an image that is not listed"),
        (note(box(1, 1, 2, 2), image=None), "no image_id"),
        (note(box(1, 1, 2, 2), category=None), "no category_id"),
    ],
)
def test_an_annotation_of_nothing_is_told(tmp_path, odd, reason):
    content = json.loads(one_file(tmp_path, [WHOLE]).read_text())
    (tmp_path / "notes.json").write_text(json.dumps(content | {"annotations": [WHOLE, odd]}))
    data = open_data(tmp_path / "notes.json")
    assert reason in data.origin["warnings"][0] and drawn(data)["0.png"] == 28


def test_ids_may_be_texts_and_sizes_may_be_missing_and_slashes_those_of_windows(tmp_path):
    usual = open_data(one_file(tmp_path, [WHOLE]))
    (tmp_path / "sub").mkdir()
    for n in range(3):
        (tmp_path / f"{n}.png").rename(tmp_path / "sub" / f"{n}.png")
    images = [{"id": str(10 + n), "file_name": f"sub\\{n}.png"} for n in range(3)]
    categories = [{"id": "7", "name": "dog"}, {"id": "3", "name": "cat"}]
    odd = WHOLE | {"image_id": "10", "category_id": "7", "iscrowd": "0"}
    content = json.dumps({"images": images, "categories": categories, "annotations": [odd]})
    (tmp_path / "notes.json").write_bytes(b"\xef\xbb\xbf" + content.encode())
    data = open_data(tmp_path / "notes.json")
    assert data.classes == usual.classes and set(drawn(data).values()) == set(drawn(usual).values())
    assert sorted(name for split in data.splits.values() for name in split.names) == [
        f"sub/{n}.png" for n in range(3)
    ]


def test_an_image_of_another_size_than_stated_is_named_before_anything_is_drawn(tmp_path):
    images = [{"id": 10 + n, "file_name": f"{n}.png", "height": 12_000, "width": 12_000} for n in range(3)]
    one_file(tmp_path, [WHOLE])
    (tmp_path / "notes.json").write_text(json.dumps(annotations([], [WHOLE]) | {"images": images}))
    data = open_data(tmp_path / "notes.json")
    with pytest.raises(DataError, match="state 12000x12000 pixels, the image has 16x12"):
        drawn(data)
    assert "unusable_mask" in {finding.kind for finding in check(data) if finding.severity == "error"}


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_outlines_on_the_pixels_as_they_lie_are_turned_with_their_image(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = one_file(tmp_path, [WHOLE])
    upright = np.zeros((12, 16), np.uint8)
    upright[1:5, 2:9] = 1
    Image.fromarray(upright).save(tmp_path / "0.png", exif=exif)
    data = open_data(path, background="ignore")
    split, item = next((s, s.names.index("0.png")) for s in data.splits.values() if "0.png" in s.names)
    image, mask = split.load(item)[..., 0], split.masks(item)
    assert mask.shape == image.shape
    if orientation != 3:  # half a turn cannot be told from none: the annotations state one size for both
        np.testing.assert_array_equal(mask == 1, image == 1)


def test_categories_of_exporting_tools_are_left_out_and_names_are_unique(tmp_path):
    categories = [
        {"id": 0, "name": "pets", "supercategory": "none"},
        {"id": 3, "name": "cat"},
        {"id": 7, "name": "dog"},
    ]
    path = one_file(tmp_path, [WHOLE])
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"categories": categories}))
    data = open_data(path)
    assert data.classes == ("background", "cat", "dog") and 'category 0, "pets"' in data.origin["notes"][0]
    path.write_text(
        json.dumps(content | {"categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "dog"}]})
    )
    assert open_data(path).classes == ("background", "dog")
    path.write_text(
        json.dumps(
            content
            | {
                "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "dog"}],
                "annotations": [WHOLE, note(box(0, 0, 2, 2), category=3)],
            }
        )
    )
    with pytest.raises(DataError, match=r"categories (7, 3|3, 7) are all called"):
        open_data(path)


def test_pictures_that_are_not_listed_are_told(tmp_path):
    path = one_file(tmp_path, [WHOLE])
    save(tmp_path / "stray.png", 9)
    assert any(
        "1 picture is not listed" in text and "stray.png" in text for text in open_data(path).origin["notes"]
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["id", "name", "counts", "size"]), inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECT = st.fixed_dictionaries(
    {},
    optional={
        "image_id": st.sampled_from([10, "10", 11.0, 99]) | JSON,
        "category_id": st.sampled_from([7, "3", 3.0]) | JSON,
        "segmentation": JSON | st.just(box(1, 1, 4, 4)),
        "iscrowd": JSON,
    },
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    notes=st.lists(OBJECT | JSON, max_size=4) | JSON,
    images=st.none()
    | JSON
    | st.lists(st.fixed_dictionaries({"id": JSON, "file_name": JSON | st.just("0.png")}), max_size=3),
    categories=st.none() | JSON | st.lists(st.fixed_dictionaries({"id": JSON, "name": JSON}), max_size=3),
)
def test_any_json_opens_or_is_refused_with_a_clear_error(tmp_path, notes, images, categories):
    path = tmp_path / "notes.json"
    if not path.exists():
        one_file(tmp_path, [WHOLE])
    whole = annotations([f"{n}.png" for n in range(3)], [])
    whole |= {"annotations": notes}
    whole |= {
        key: value for key, value in (("images", images), ("categories", categories)) if value is not None
    }
    path.write_text(json.dumps(whole))
    try:
        data = open_data(path)
    except DataError as error:
        str(error).encode()
        return
    assert sum(drawn(data).values()) >= 0
    json.dumps(dict(data.origin), ensure_ascii=False).encode()


@pytest.mark.parametrize("text", [b"[" * 100_000, b"\xff\xfe{", b'{"images": [1', b"null", b"\x00"])
def test_what_is_not_such_json_is_refused(tmp_path, text):
    (tmp_path / "notes.json").write_bytes(text)
    with pytest.raises(DataError, match=r"JSON|has no list"):
        open_data(tmp_path / "notes.json")


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
