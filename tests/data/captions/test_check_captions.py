"""Each fault of captioned pictures is found where it is planted, and nothing is found in sound ones."""

import json

import pytest
from PIL import Image

from foveate.data.captions.captioned_sheet import captioned_sheet
from foveate.data.captions.check_captions import check_captions
from foveate.data.captions.open_captions import open_captions
from foveate.data.checks.finding import Finding
from tests.data.captions.caption_samples import ORDER, some_pictures, write_json
from tests.data.image_samples import pixels


def written(root, number=None, texts=None, listed=10):
    """Write sound pictures with two captions each, and other captions for one of them."""
    names = some_pictures(root / "images", listed)
    rows = [
        {"file": name, "split": ORDER[n % 10], "captions": [f"picture {n}", f"this is picture {n}"]}
        for n, name in enumerate(names)
    ]
    if number is not None:
        rows[number]["captions"] = texts
    write_json(root / "captions.json", rows)
    return root


def findings(root):
    return {finding.kind: finding for finding in check_captions(open_captions(root))}


def test_sound_captions_have_no_findings(tmp_path):
    assert findings(written(tmp_path)) == {}


@pytest.mark.parametrize(
    ("kind", "severity", "texts", "item"),
    [
        ("replacement_character", "warning", ["a pi\ufffdata", "b"], "8.jpg#0"),
        ("mojibake", "warning", ["a", "ein MÃ¤dchen"], "8.jpg#1"),
        ("control_character", "warning", ["a\x07", "b"], "8.jpg#0"),
        ("long_caption", "note", ["word " * 101, "b"], "8.jpg#0"),
        ("duplicate_caption", "note", ["A dog", "a dog"], "8.jpg#1"),
        ("uneven_captions", "note", ["a", "b", "c"], None),
        ("opened", "warning", ["a", ""], None),
    ],
)
def test_a_planted_fault_of_a_caption_is_found(tmp_path, kind, severity, texts, item):
    found = findings(written(tmp_path, 8, texts))
    assert found[kind].severity == severity
    assert found[kind].items == (() if item is None else (item,))
    assert set(found) <= {kind, "uneven_captions"}


def test_a_picture_that_cannot_be_read_is_an_error(tmp_path):
    root = written(tmp_path)
    (root / "images" / "8.jpg").write_bytes(b"not a picture")
    found = findings(root)["unreadable"]
    assert found.severity == "error" and found.items[0].startswith("8.jpg")


def test_the_same_picture_in_two_splits_is_found_by_content(tmp_path):
    root = written(tmp_path)
    (root / "images" / "8.jpg").write_bytes((root / "images" / "0.jpg").read_bytes())
    found = findings(root)["duplicate_across_splits"]
    assert found.severity == "warning" and found.items == ("0.jpg = 8.jpg",)


def test_nearly_the_same_picture_in_two_splits_is_found_by_its_look(tmp_path):
    root = written(tmp_path)
    Image.fromarray(pixels(0)).resize((64, 48)).save(root / "images" / "8.jpg", quality=60)
    assert findings(root)["near_duplicate"].items == ("0.jpg ~ 8.jpg",)


def test_pictures_of_no_split_are_noted(tmp_path):
    root = written(tmp_path)
    rows = json.loads((root / "captions.json").read_text())
    del rows[3]["split"]
    write_json(root / "captions.json", rows)
    assert findings(root)["opened"].severity == "note"


def test_a_sheet_has_the_pictures_that_look_alike_and_others_with_their_captions(tmp_path):
    data = open_captions(written(tmp_path))
    twins = Finding("near_duplicate", "warning", "1 pair", ("8.jpg ~ 9.jpg",))
    told = captioned_sheet(data, [twins], tmp_path / "sheet.png")
    assert told.endswith("1 of 1 groups of pictures that look alike, and 10 pictures with their captions")
    few = captioned_sheet(data, [], tmp_path / "few.png")
    assert few.endswith("few.png: 10 pictures with their captions")
    with Image.open(tmp_path / "sheet.png") as sheet, Image.open(tmp_path / "few.png") as other:
        assert sheet.width == other.width
        row = sheet.height - other.height
        assert row > 160 + 3 * 14  # a picture, and three lines of its caption
        below = sheet.crop((8, 8 + 160 + 14, 168, 8 + 160 + 3 * 14)).convert("L").getextrema()
    assert below[0] < 128  # something is written there
