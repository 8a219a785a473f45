"""Large pictures by bands: the same as in one piece, with memory that does not grow with the height."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from foveate.errors import DataError
from foveate.segment import streamed
from foveate.segment.row_reader import open_rows, rows_of
from foveate.segment.segment_picture import segment
from foveate.segment.streamed import Wanted, segment_file
from foveate.segment.windows import Tiling
from tests.segment.networks import Local

SETTINGS = {"size": (24, 32), "mean": (0.5,) * 3, "std": (0.25,) * 3}
CLASSES = {"classes": ["a", "b", "c", "d"], "palette": np.arange(12, dtype=np.uint8).reshape(4, 3)}


@pytest.fixture
def image(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (61, 47, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def wanted(folder):
    return Wanted(folder / "mask.png", folder / "overlay.png", folder / "p.npy", "float32")


@pytest.mark.parametrize("tiling", [None, Tiling(16), Tiling((64, 20), 0.5)])
def test_files_are_what_segment_says(tiling, image, tmp_path):
    with Image.open(image) as opened:
        pixels = np.asarray(opened)
    whole = segment(Local(), pixels, **SETTINGS, tiling=tiling)
    shares = segment_file(Local(), image, wanted(tmp_path), **CLASSES, **SETTINGS, tiling=tiling)
    assert np.allclose(np.load(tmp_path / "p.npy"), whole, atol=1e-6)
    with Image.open(tmp_path / "mask.png") as mask:
        labels = np.asarray(mask)
    assert (labels == whole.argmax(0).numpy()).mean() > 0.999
    assert shares.tolist() == [(labels == k).mean() for k in range(4)]
    with Image.open(tmp_path / "overlay.png") as overlay:
        assert overlay.width >= 47 and overlay.height > 61
    assert {path.name for path in tmp_path.iterdir()} == {"picture.png", "mask.png", "overlay.png", "p.npy"}


def test_only_what_is_wanted_is_written(image, tmp_path):
    segment_file(Local(), image, Wanted(), **CLASSES, **SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


@pytest.mark.parametrize("longest", [61, 30, 17])
def test_overlays_of_large_pictures_are_reduced(longest, image, tmp_path, monkeypatch):
    monkeypatch.setattr(streamed, "LONGEST", longest)
    seen = []
    monkeypatch.setattr(
        streamed, "overlay", lambda image, labels, palette: seen.append((image, labels)) or image
    )
    segment_file(Local(), image, wanted(tmp_path), **CLASSES, **SETTINGS, tiling=Tiling(16))
    ((small, labels),) = seen
    factor = -(-61 // longest)
    assert labels.shape == small.shape[:2] == (-(-61 // factor), -(-47 // factor))
    with Image.open(tmp_path / "mask.png") as mask, Image.open(image) as opened:
        assert np.array_equal(labels, np.asarray(mask)[::factor, ::factor])
        assert np.array_equal(small, np.asarray(opened.reduce(factor)))


def test_what_refines_gets_the_whole_picture(image, tmp_path):
    def refine(probabilities, pixels):
        assert probabilities.shape == (4, 61, 47) and pixels.shape == (61, 47, 3)
        return torch.eye(4)[2].view(4, 1, 1).expand(4, 61, 47)

    shares = segment_file(
        Local(), image, wanted(tmp_path), **CLASSES, **SETTINGS, tiling=Tiling(16), refine=refine
    )
    assert shares.tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_rows_are_those_of_the_file(suffix, tmp_path, monkeypatch):
    pixels = np.random.default_rng(1).integers(0, 256, (600, 31, 3), dtype=np.uint8)
    path = tmp_path / f"picture.{suffix}"
    Image.fromarray(pixels).save(path)
    with Image.open(path) as opened:
        expected = np.asarray(opened)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 9_000)  # Pillow opens twice as many
    with open_rows(path) as rows:
        assert (rows.height, rows.width) == (600, 31) and Image.MAX_IMAGE_PIXELS == 9_000
        for first, last in ((0, 600), (250, 260), (599, 600), (7, 7)):
            assert np.array_equal(rows.read(first, last), expected[first:last])


def test_a_broken_file_is_named_and_nothing_written(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(DataError, match=r"broken\.png"):
        segment_file(Local(), tmp_path / "broken.png", wanted(tmp_path), **CLASSES, **SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["broken.png"]


GROWTH = """
import json, resource, sys
from pathlib import Path
import numpy as np, torch
from foveate.segment.row_reader import Rows
from foveate.segment.streamed import Wanted, segment_file
from foveate.segment.windows import Tiling

torch.set_num_threads(1)
network = torch.nn.Conv2d(3, 16, 3, padding=1)
palette = np.zeros((16, 3), np.uint8)

def peak(height):
    rows = Rows(height, 128, lambda first, last: np.full((last - first, 128, 3), first % 256, np.uint8))
    out = Path(sys.argv[1])
    segment_file(
        network, rows, Wanted(out / "m.png", None, out / "p.npy"), classes=list(map(str, range(16))),
        palette=palette, size=(64, 64), mean=(0.5,) * 3, std=(0.5,) * 3, tiling=Tiling(64),
    )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

print(json.dumps([peak(640), peak(6_400)]))
"""


@pytest.mark.slow  # a process of its own imports everything again
def test_memory_does_not_grow_with_the_height(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-c", GROWTH, str(tmp_path)], capture_output=True, text=True, check=True
    )
    low, high = json.loads(ran.stdout)  # MiB
    assert np.load(tmp_path / "p.npy", mmap_mode="r").shape == (16, 6_400, 128)  # 50 MiB as float32
    assert high - low < 10


def test_rows_of_an_array():
    rows = rows_of(np.zeros((5, 4, 3), np.uint8))
    assert rows.read(1, 3).shape == (2, 4, 3)
