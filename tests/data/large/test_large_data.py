"""Folders and tables of large pictures: opened without decoding them, checked by their overviews."""

import numpy as np
import pytest
import tifffile

from foveate.data.checks.check import check
from foveate.data.image_folds import fold_images
from foveate.data.large import content_key, keep_overviews
from foveate.data.large.open_large import open_large
from foveate.data.open import open_data, reopen
from foveate.errors import DataError, OptionError
from tests.data.large.large_samples import pixels


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path / "cache"))


def make_folder(root, each=2, suffix=".tif"):
    for number, (split, label) in enumerate(
        (split, label) for split in ("train", "test") for label in ("cat", "dog")
    ):
        (root / split / label).mkdir(parents=True)
        for item in range(each):
            shown = np.roll(pixels(), 13 * (number * each + item), axis=(0, 1))
            tifffile.imwrite(
                root / split / label / f"{item}{suffix}", shown, tile=(64, 64), photometric="rgb"
            )
    return root


def test_a_folder_is_opened_without_a_picture_being_decoded(tmp_path, monkeypatch):
    make_folder(tmp_path / "data")
    monkeypatch.setattr("foveate.data.large.tiled_tiff.TiledTiff._read", None)
    monkeypatch.setattr("foveate.data.images.decode._open", None)
    data = open_data(tmp_path / "data", large=True)
    assert repr(data) == "ImageData(data: 2 classes, read in parts; train 4, test 4)"
    assert data.splits["train"].pictures(0).size == pixels().shape[:2]
    assert reopen(data.origin).fingerprint == data.fingerprint
    assert reopen(data.origin).large


def test_slides_are_pictures_of_a_folder_that_is_read_in_parts(tmp_path):
    make_folder(tmp_path / "data", suffix=".svs")
    assert open_data(tmp_path / "data", large=True).items == {"train": 4, "test": 4}
    with pytest.raises(DataError, match="svs"):
        open_data(tmp_path / "data")


def test_folds_are_read_in_parts_too(tmp_path):
    data = open_data(make_folder(tmp_path / "data"), large=True)
    fold = fold_images(data, 2).parts[1]
    split = fold.splits["test"]
    assert fold.large
    assert all(split.pictures(i).path.name == split.names[i].rpartition("/")[2] for i in range(len(split)))


def test_a_table_says_where_to_look(tmp_path):
    make_folder(tmp_path)
    lines = [
        "path,label,split,boxes",
        "train/cat/0.tif,cat,train,1 2 3 4; 5 6 17 18",
        "test/dog/0.tif,dog,test,",
    ]
    (tmp_path / "table.csv").write_text("\n".join([*lines, "train/dog/0.tif,dog,train,0 0 9 9"]))
    train = open_data(tmp_path / "table.csv", large=True).splits["train"]
    assert train.boxes(0).tolist() == [[1, 2, 3, 4], [5, 6, 17, 18]]
    (tmp_path / "table.csv").write_text("\n".join([*lines, "train/dog/0.tif,dog,train,9 9 0 0"]))
    with pytest.raises(DataError, match=r"line 4.*top, left, bottom and right"):
        open_data(tmp_path / "table.csv", large=True)


def test_masks_are_not_read_in_parts(tmp_path):
    make_folder(tmp_path)
    (tmp_path / "table.csv").write_text("path,mask,split\ntrain/cat/0.tif,train/cat/1.tif,train\n")
    with pytest.raises(OptionError, match="large is for labels"):
        open_data(tmp_path / "table.csv", large=True)


def test_a_check_finds_broken_files_and_equal_ones(tmp_path, monkeypatch):
    root = make_folder(tmp_path / "data")
    path = root / "train" / "cat" / "0.tif"
    (root / "test" / "cat" / "0.tif").write_bytes((root / "train" / "dog" / "0.tif").read_bytes())
    data = open_data(root, large=True)
    path.write_bytes(path.read_bytes()[:2000])
    monkeypatch.setattr("foveate.data.images.decode._open", None)
    found = {finding.kind: finding for finding in check(data)}
    assert found["truncated"].severity == "error"
    assert found["truncated"].items[0].startswith("train/cat/0.tif")
    assert "duplicate_across_splits" in found


def test_levels_of_deep_files_are_common_and_noted(tmp_path):
    for split in ("train", "test"):
        for label, top in (("a", 900), ("b", 4000)):
            (tmp_path / split / label).mkdir(parents=True)
            values = (pixels()[..., 0].astype(np.int64) * top // 255).astype(np.uint16)
            tifffile.imwrite(tmp_path / split / label / f"{label}.tif", values, tile=(64, 64))
    data = open_data(tmp_path, large=True)
    assert data.levels == (0, 4095)
    assert any("4095 white" in note for note in data.origin["notes"])


def test_an_overview_is_kept_on_disk_and_made_once(tmp_path, monkeypatch):
    path = tmp_path / "p.npy"
    np.save(path, pixels())
    picture = open_large(path)
    made = keep_overviews.overview_of(picture, (13, 21))
    monkeypatch.setattr(picture, "overview", None)
    assert np.array_equal(keep_overviews.overview_of(picture, (13, 21)), made)
    (file,) = (tmp_path / "cache" / "overviews").iterdir()
    file.write_bytes(file.read_bytes()[:-1])  # damaged: made again
    with pytest.raises(TypeError):
        keep_overviews.overview_of(picture, (13, 21))
    np.save(path, pixels()[::-1])
    assert open_large(path).key != picture.key


def test_of_a_large_file_blocks_are_hashed_up_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(content_key, "WHOLE", 1000)
    monkeypatch.setattr(content_key, "BLOCK", 16)
    (tmp_path / "a").write_bytes(bytes(5000))
    how = content_key.Reading()
    before = content_key.content_key(tmp_path / "a", how)
    (tmp_path / "a").write_bytes(bytes(4999) + b"x")
    assert content_key.content_key(tmp_path / "a", how) != before
    (tmp_path / "a").write_bytes(bytes(5001))
    assert content_key.content_key(tmp_path / "a", how) != before
