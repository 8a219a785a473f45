"""Pictures that a check calls alike can be looked at side by side."""

import numpy as np
import pytest
from PIL import Image

from foveate.cli.__main__ import main
from foveate.data.checks.check import check
from foveate.data.checks.contact_sheet import alike, contact_sheet
from foveate.data.open import open_data
from foveate.errors import DataError


@pytest.fixture
def pictures(tmp_path):
    """Two classes, noise; one test picture is a training picture, and another nearly one."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 3)):
        for label in ("cat", "dog"):
            for n in range(count):
                path = tmp_path / "data" / split / label / f"{n}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                coarse = rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)
                Image.fromarray(coarse).resize((48, 48), Image.Resampling.BICUBIC).save(path)
    train, test = tmp_path / "data" / "train" / "cat", tmp_path / "data" / "test" / "cat"
    (test / "0.png").write_bytes((train / "0.png").read_bytes())
    with Image.open(train / "1.png") as picture:
        picture.point(lambda value: value * 0.95).save(test / "1.png")
    return tmp_path / "data"


def test_pairs_are_drawn_side_by_side(pictures, tmp_path, capsys):
    sheet = tmp_path / "pairs.png"
    assert main(["check", str(pictures), "--sheet", str(sheet)]) == 0
    assert "2 of 2 groups of images that look alike" in capsys.readouterr().out
    with Image.open(sheet) as drawn:
        pixels = np.asarray(drawn.convert("RGB")).astype(int)
    left, right = pixels[8:168, 8:168], pixels[8:168, 176:336]
    assert abs(left - right).mean() < 12 < left.std()  # the first row shows the same picture twice


def test_groups_across_splits_come_first(pictures):
    groups = alike(check(open_data(pictures)))
    assert groups[0] == ("train/cat/1.png", "test/cat/1.png")
    assert set(groups[1]) == {"train/cat/0.png", "test/cat/0.png"}


def test_a_large_group_is_cut_and_a_sheet_is_written_whole(pictures, tmp_path):
    sheet = tmp_path / "sheets" / "pairs.JPG"
    sheet.parent.mkdir()
    assert contact_sheet(open_data(pictures), [("train/cat/0.png",) * 40], sheet) == 1
    assert [path.name for path in sheet.parent.iterdir()] == ["pairs.JPG"]
    with Image.open(sheet) as drawn:
        assert drawn.format == "JPEG" and drawn.width == 12 * 168 + 8
        last = np.asarray(drawn.convert("L"))[8:168, -168:]
    assert last.min() < 128 and last.mean() > 240  # words on white


def test_a_sheet_that_cannot_be_written_is_told(pictures, tmp_path):
    data = open_data(pictures)
    with pytest.raises(DataError, match="cannot be written"):
        contact_sheet(data, alike(check(data)), tmp_path / "pairs.nothing")


def test_nothing_alike_writes_nothing(tmp_path, capsys):
    sheet = tmp_path / "pairs.png"
    words = "scenes(size=24, classes=2, train=8, val=0, test=4)"
    assert main(["check", words, "--sheet", str(sheet)]) == 0
    assert "no two images look alike" in capsys.readouterr().out
    assert not sheet.exists()
