"""The readers on real sets; FOVEATE_DATA says where their archives are."""

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from foveate.data.cache import cache
from foveate.data.checks.check import check
from foveate.data.open import open_data

PLACE = Path(os.environ.get("FOVEATE_DATA", Path(__file__).parents[3] / "shared" / "data"))
MANY = 90
pytestmark = [pytest.mark.data, pytest.mark.slow]


@pytest.fixture
def unpack(tmp_path):
    def unpacked(name):
        found = sorted(PLACE.glob(f"{name}.tar*"))
        if not found:
            pytest.skip(f"no {name} in {PLACE}; set FOVEATE_DATA to the folder that has it")
        with tarfile.open(found[0]) as archive:
            archive.extractall(tmp_path, filter="data")
        for images in (tmp_path / name).glob("*/images"):
            files = sorted(images.iterdir())
            for surplus in files if len(files) > MANY else ():
                if files.index(surplus) % 8:  # every eighth will do
                    surplus.unlink()
        return tmp_path / name

    return unpacked


@pytest.mark.parametrize(
    "name, classes, items, options",
    [
        ("camvid", 11, {"train": 46, "val": 13, "test": 30}, {}),
        ("ecssd", 2, {"train": 63, "test": 25}, {}),
        ("isbi_membrane", 2, {"train": 20, "test": 5}, {}),
        ("drive_vessels", 2, {"train": 16, "val": 4, "test": 10}, {"ignore_outside": "fov"}),
    ],
)
def test_a_real_set_opens_is_sound_and_fits_its_canvas(unpack, tmp_path, name, classes, items, options):
    data = open_data(unpack(name), **options)
    assert len(data.classes) == classes and {k: len(v) for k, v in data.splits.items()} == items
    assert not [finding for finding in check(data) if finding.severity == "error"]
    splits = cache(data, size=60, folder=tmp_path / "cache")
    counts = sum(split.class_pixels for split in splits.values())
    assert (counts[:classes] > 0).all() and not counts[classes:255].any()
    if name == "camvid":  # what the set's own description states about its shares, void last
        stated = np.array(
            [0.158, 0.241, 0.010, 0.293, 0.067, 0.112, 0.011, 0.014, 0.046, 0.006, 0.005, 0.036]
        )
        found = np.append(counts[:11], counts[255]) / counts.sum()
        assert splits["train"].canvas == (60, 80) and np.abs(found - stated).max() < 0.012
    if name == "drive_vessels":  # the published field of view is 69 % of the picture, 12.5 % of it vessels
        assert 0.28 < counts[255] / counts.sum() < 0.34 and 0.11 < counts[1] / counts[:2].sum() < 0.14
