"""Pictures with captions are read from every layout that docs/words-data.md names."""

import json
from functools import partial

import numpy as np
import pytest

from foveate.data.captions.looks_like_captions import looks_like_captions
from foveate.data.captions.open_captions import open_captions
from foveate.errors import DataError, OptionError
from tests.data.captions.caption_samples import (
    ORDER,
    captions,
    some_pictures,
    write_coco,
    write_json,
    write_karpathy,
    write_lines,
    write_list,
    write_table,
    write_tokens,
)
from tests.data.image_samples import save

LAYOUTS = {
    "list": write_list,
    "lines": write_lines,
    "karpathy": write_karpathy,
    "coco": write_coco,
    "tokens": write_tokens,
    "csv": write_table,
    "semicolons": partial(write_table, delimiter=";"),
    "tsv": partial(write_table, delimiter="\t"),
}


@pytest.mark.parametrize("write", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_gives_the_same_captions_in_the_same_splits(tmp_path, write):
    tmp_path = tmp_path / "data"
    tmp_path.mkdir()
    write(tmp_path)
    data = open_captions(tmp_path)
    found = {name: list(split.captions) for name, split in data.splits.items()}
    expected = {
        name: [tuple(captions(n)) for n, where in enumerate(ORDER) if where == name] for name in found
    }
    assert found == expected and (data.task, data.items) == ("caption", {"train": 6, "val": 2, "test": 2})
    for name, split in data.splits.items():
        for item, number in enumerate(n for n, where in enumerate(ORDER) if where == name):
            assert split.pictures.files[item].stem.lstrip("0") in (str(number), "")
            assert split.pictures.load(item).ndim == 3
    assert data.origin["warnings"] == [] and looks_like_captions(tmp_path)


def test_the_file_of_the_captions_may_be_opened_itself(tmp_path):
    write_list(tmp_path)
    assert open_captions(tmp_path / "captions.json").fingerprint == open_captions(tmp_path).fingerprint
    assert looks_like_captions(str(tmp_path / "captions.json"))


def test_flickr30k_table_with_bars(tmp_path):
    names = some_pictures(tmp_path / "flickr30k_images")
    rows = [f"{name}| {k}| {text}" for n, name in enumerate(names) for k, text in enumerate(captions(n))]
    (tmp_path / "results.csv").write_text("\n".join(["image_name| comment_number| comment", *rows]))
    data = open_captions(tmp_path)
    texts = sorted(text for name in data.splits for text in data.texts(name))
    assert texts == sorted(text.strip() for n in range(10) for text in captions(n))


def test_fingerprints_follow_pictures_captions_and_order(tmp_path):
    write_list(tmp_path / "a")
    write_list(tmp_path / "b", images="photos")
    first, second = open_captions(tmp_path / "a"), open_captions(tmp_path / "b")
    assert first.fingerprint == second.fingerprint and first.contents == second.contents
    save(tmp_path / "b" / "photos" / "3.jpg", 77)
    changed = open_captions(tmp_path / "b")
    assert changed.contents != first.contents and changed.fingerprint != first.fingerprint
    rows = json.loads((tmp_path / "a" / "captions.json").read_text())
    rows[3]["captions"][0] = "another one"
    write_json(tmp_path / "a" / "captions.json", rows)
    reworded = open_captions(tmp_path / "a")
    assert reworded.contents == first.contents and reworded.fingerprint != first.fingerprint


def test_pictures_alone_are_image_data_that_caches_can_decode(tmp_path):
    write_list(tmp_path)
    data = open_captions(tmp_path)
    pictures = data.pictures
    assert pictures.items == data.items and pictures.fingerprint == data.contents
    assert (pictures.splits["train"].targets == 0).all()


def test_splits_are_drawn_picture_by_picture_where_there_are_none(tmp_path):
    names = some_pictures(tmp_path / "images")
    write_json(
        tmp_path / "captions.json",
        [{"file": name, "caption": text} for n, name in enumerate(names) for text in captions(n)],
    )
    data = open_captions(tmp_path)
    assert sum(data.items.values()) == 10 and data.items["test"] == 2
    assert not set(data.splits["train"].names) & set(data.splits["test"].names)
    for split in data.splits.values():
        for name, some in zip(split.names, split.captions, strict=True):
            assert some == tuple(captions(int(name.partition(".")[0])))
    assert "drawn by seed 0" in data.origin["notes"][0]
    assert open_captions(tmp_path, seed=1).fingerprint != data.fingerprint


def test_without_a_test_set_one_is_drawn_from_train(tmp_path):
    write_coco(tmp_path, splits=("train", "val"))
    data = open_captions(tmp_path)
    assert data.items["val"] == 2 and data.items["train"] + data.items["test"] == 6


def test_pictures_of_one_name_in_different_splits_are_different(tmp_path):
    for number, split in enumerate(("train", "test")):
        save(tmp_path / split / "1.jpg", number)
        write_json(
            tmp_path / split / "captions.json",
            {
                "images": [{"id": 7, "file_name": "1.jpg"}],
                "annotations": [{"image_id": 7, "caption": f"picture of {split}"}],
            },
        )
    data = open_captions(tmp_path)
    for split in ("train", "test"):
        assert data.splits[split].pictures.files[0].parent.name == split
        assert data.splits[split].captions == ((f"picture of {split}",),)


def test_data_opens_again_from_its_origin(tmp_path):
    write_list(tmp_path, images="photos")
    for options in (
        {},
        {"images": "photos", "longest": 6, "captions": "captions.json", "max_pixels": 10_000},
    ):
        data = open_captions(tmp_path, **options)
        origin = json.loads(json.dumps(data.origin))
        again = open_captions(origin["source"], **origin["options"])
        assert again.fingerprint == data.fingerprint and again.origin == data.origin


def changed(tmp_path, number, **entries):
    """Write a list with one of its rows changed, and return its folder."""
    write_list(tmp_path)
    rows = json.loads((tmp_path / "captions.json").read_text())
    rows[number] |= entries
    write_json(tmp_path / "captions.json", rows)
    return tmp_path


def test_empty_and_long_captions_and_bare_pictures_are_left_out_and_counted(tmp_path):
    long = "word " * 101
    data = open_captions(changed(tmp_path / "a", 0, captions=["good", " ", long]))
    assert data.splits["train"].captions[0] == ("good",)
    assert data.origin["warnings"] == [
        "train: 1 caption is empty and left out: 0.jpg.",
        "train: 1 caption of more than 100 words is left out: 0.jpg.",
    ]
    data = open_captions(changed(tmp_path / "b", 8, captions=["good", long]))
    assert data.splits["test"].captions[0] == ("good", long.strip())
    data = open_captions(changed(tmp_path / "c", 8, captions=["", ""]))
    assert data.items["test"] == 1
    assert "test: 1 picture has no caption left and is left out: 8.jpg." in data.origin["warnings"]


def test_a_few_missing_pictures_are_left_out_and_many_are_an_error(tmp_path):
    write_list(tmp_path)
    (tmp_path / "images" / "3.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 10 pictures are not found: 3\.jpg\. Say where.*--images"):
        open_captions(tmp_path)
    rows = [{"file": f"{n}.jpg", "caption": f"number {n}"} for n in range(150)]
    some_pictures(tmp_path / "images", 149)
    write_json(tmp_path / "captions.json", rows)
    data = open_captions(tmp_path)
    assert sum(data.items.values()) == 149
    assert data.origin["warnings"] == ["1 picture is missing and left out: 149.jpg."]


def test_a_second_name_of_a_picture_is_left_out(tmp_path):
    data = open_captions(changed(tmp_path, 1, file="images/0.jpg"))
    assert data.items["train"] == 5 and "under a second name" in data.origin["warnings"][0]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "cannot be read as JSON"),
        ({"a": 1}, "no captions are here"),
        ([7], "no captions are here"),
        ([{"captions": ["a"]}], "entry 0: names no picture"),
        ([{"file": "0.jpg", "caption": 7}], "entry 0: has no captions"),
        ([{"file": "0.jpg", "captions": [7]}], "entry 0: a caption is not text"),
        ([{"file": "0.jpg", "captions": ["a"], "split": "tain"}], 'split "tain" is unknown'),
        (
            [{"file": "0.jpg", "caption": "a", "split": s} for s in ("train", "test")],
            "0.jpg is in split train and in test",
        ),
        ({"images": [{"id": 1}], "annotations": [], "caption": 0}, r"images\[0\]: has no file_name"),
        (
            {"images": [{"id": 1, "file_name": "0.jpg"}], "annotations": [{"image_id": 2, "caption": "a"}]},
            r"annotations\[0\]: its image_id 2 is not in the list",
        ),
        (
            {"images": [{"id": 1, "file_name": "0.jpg"}] * 2, "annotations": [], "caption": 0},
            r"images\[1\]: its id 1 is missing or was there before",
        ),
    ],
)
def test_damaged_json_is_refused(tmp_path, content, says):
    some_pictures(tmp_path / "images", 3)
    path = tmp_path / "captions.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(DataError, match=says):
        open_captions(path if content == "{" else tmp_path)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (["0.jpg#0\ta dog", "no tab"], "line 2: is not"),
        (["image,caption", "0.jpg,a dog,", "0.jpg"], "line 3: 1 cells, expected 2"),
        (["0.jpg a dog"], "the first line names no picture"),
    ],
)
def test_damaged_text_is_refused(tmp_path, rows, says):
    some_pictures(tmp_path, 3)
    (tmp_path / "captions.txt").write_text("\n".join(rows))
    with pytest.raises(DataError, match=says):
        open_captions(tmp_path / "captions.txt")


def test_sources_that_are_unclear_or_missing(tmp_path):
    write_list(tmp_path)
    (tmp_path / "more.json").write_text((tmp_path / "captions.json").read_text())
    with pytest.raises(
        OptionError, match=r"captions\.json, more\.json\. Say which: --captions captions\.json"
    ):
        open_captions(tmp_path)
    assert sum(open_captions(tmp_path, captions="more.json").items.values()) == 10
    with pytest.raises(DataError, match="there is no such file"):
        open_captions(tmp_path, captions="none.json")
    with pytest.raises(DataError, match="no such file or folder"):
        open_captions(tmp_path / "nothing")
    with pytest.raises(DataError, match="no captions are here"):
        open_captions(tmp_path / "images")
    with pytest.raises(DataError, match="10 of 10 pictures are not found"):
        open_captions(tmp_path, captions="more.json", images="nowhere")


def test_other_sources_are_not_taken_for_captions(tmp_path):
    some_pictures(tmp_path / "train" / "cat", 2)
    (tmp_path / "labels.csv").write_text("path,label,description\ntrain/cat/0.jpg,cat,a cat")
    write_json(tmp_path / "info.json", {"images": 3})
    others = [tmp_path / "train", tmp_path / "labels.csv", tmp_path / "info.json"]
    others += [tmp_path / "nothing", "scenes", "", None, np.zeros(3), "a\0b"]
    assert [source for source in others if looks_like_captions(source)] == []
    (tmp_path / "yolo" / "labels").mkdir(parents=True)
    for number in range(101):  # one file for each picture, of which none is opened
        (tmp_path / "yolo" / "labels" / f"{number}.txt").write_text("1.jpg#0\ta dog")
    assert not looks_like_captions(tmp_path / "yolo")
    coco = tmp_path / "coco"
    write_coco(coco)
    for split in ("train", "val"):
        write_json(
            coco / "annotations" / f"instances_{split}2017.json",
            {"images": [], "annotations": [], "categories": []},
        )
    assert not looks_like_captions(coco) and open_captions(coco).items["train"] == 6


def test_captions_in_python(tmp_path, monkeypatch):
    names = some_pictures(tmp_path / "photos")
    rows = [
        {"file": tmp_path / "photos" / name, "captions": captions(n), "split": ORDER[n]}
        for n, name in enumerate(names)
    ]
    data = open_captions(rows)
    assert data.items == {"train": 6, "val": 2, "test": 2} and data.origin["source"] is None
    assert data.splits["train"].captions == tuple(tuple(captions(n)) for n in range(6))
    monkeypatch.chdir(tmp_path)
    rows = [row | {"file": f"photos/{name}"} for row, name in zip(rows, names, strict=True)]
    assert open_captions(rows).splits["test"].captions == data.splits["test"].captions
    with pytest.raises(DataError, match="captions: 10 of 10 pictures are not found"):
        open_captions(rows, images="nowhere")
    with pytest.raises(DataError, match="entry 0: names no picture"):
        open_captions([{"captions": ["a"]}])
