"""Work is done once: a folder is walked once, and a mask's file is read once when its data is opened."""

import builtins
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveate.data.checks.check import opening_warnings
from foveate.data.folders import walk
from foveate.data.images.open_image import (
    FORMATS,
    SUFFIXES,
    content_hash,
    hash_of_opened,
    opened,
    usual_suffixes,
)
from foveate.data.open import open_data

MASKS = 50
rng = np.random.default_rng(0)


@pytest.fixture
def opens(monkeypatch):
    """Count how often each file is opened."""
    count: Counter[Path] = Counter()
    by_path, by_name = Path.open, builtins.open

    def path_open(path, *args, **kwargs):
        count[path] += 1
        return by_path(path, *args, **kwargs)

    def name_open(name, *args, **kwargs):  # as NumPy and Pillow do
        if isinstance(name, (str, Path)):
            count[Path(name)] += 1
        return by_name(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", name_open)
    monkeypatch.setattr(Path, "open", path_open)
    return count


def save_masks(root, write):
    for number in range(MASKS):
        for folder in ("images", "masks"):
            (root / folder).mkdir(exist_ok=True)
        picture = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(picture).save(root / "images" / f"{number}.png")
        write(root / "masks" / f"{number}.png", rng.integers(0, 3, (8, 8), dtype=np.uint8))


def grey(path, labels):
    Image.fromarray(labels).save(path)


def paletted(path, labels):
    image = Image.fromarray(labels)
    image.putpalette([0, 0, 0, 200, 0, 0, 0, 0, 200])
    image.save(path)


def array(path, labels):
    np.save(path.with_suffix(".npy"), labels)


def coloured(path, labels):
    Image.fromarray(np.array([[0, 0, 0], [200, 0, 0], [0, 0, 200]], dtype=np.uint8)[labels]).save(path)


def explained(path, labels):
    coloured(path, labels)
    path.parents[1].joinpath("classes.csv").write_text("a,0,0,0\nb,200,0,0\nc,0,0,200\n")


COLOURS = {"a": (0, 0, 0), "b": (200, 0, 0), "c": (0, 0, 200)}


@pytest.mark.parametrize(
    ("write", "options"),
    [
        (grey, {}),
        (grey, {"classes": 3}),
        (grey, {"ignore_index": 0}),
        (paletted, {}),
        (array, {}),
        (coloured, {"colours": COLOURS}),
        (explained, {}),
    ],
)
def test_opening_reads_each_mask_once(tmp_path, opens, write, options):
    save_masks(tmp_path, write)
    opens.clear()
    open_data(tmp_path, **options)
    masks = {path: count for path, count in opens.items() if path.parent.name == "masks"}
    assert len(masks) == MASKS
    assert set(masks.values()) == {1}


def test_the_warnings_of_opened_data_walk_the_folder_once(tmp_path, monkeypatch):
    for number in range(20):
        for label in "ab":
            (tmp_path / label).mkdir(exist_ok=True)
            grey(tmp_path / label / f"{number}.png", rng.integers(0, 256, (8, 8), dtype=np.uint8))
    data = open_data(tmp_path)
    walked = []
    plain = walk.os.walk

    def counted(folder, **options):
        walked.append(folder)
        return plain(folder, **options)

    monkeypatch.setattr(walk.os, "walk", counted)
    opening_warnings(data)
    assert len(walked) == 1


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "HEIF"])
def test_an_opened_file_is_hashed_without_harm(tmp_path, form):
    """The hash is that of the file, and the pixels are those of a file that was not hashed."""
    path = tmp_path / f"x{next(suffix for suffix in usual_suffixes(form) if suffix in SUFFIXES)}"
    Image.fromarray(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(path, format=form)
    with opened(path) as image:
        plain = np.asarray(image)
    with opened(path) as image:
        digest, pixels = hash_of_opened(image), np.asarray(image)
    with path.open("rb") as file:
        assert digest == content_hash(file)
    assert np.array_equal(pixels, plain)
