"""Megapixel scenes: equal to the original's to the bit, the same as files, and the truth of where to look."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from foveate.data.large.large_picture import factor_for, reduced_strips
from foveate.data.megapixel import scene_picture
from foveate.data.megapixel.digit_pool import DigitPool, handwritten
from foveate.data.megapixel.megapixel_layout import boxes, draw_scenes
from foveate.data.megapixel.open_megapixel import megapixel, scene_pictures
from foveate.data.megapixel.write_megapixel import write_megapixel
from foveate.data.open import open_data, reopen
from foveate.errors import DataError, OptionError
from tests.data.image_samples import make_folder

ORIGINAL = json.loads((Path(__file__).parent / "scenes.json").read_text())
SIZE = (ORIGINAL["config"]["H"], ORIGINAL["config"]["W"])


def original_pool(split):
    """The synthetic digits that the fixture states."""
    draw = np.random.RandomState(0)
    grey, there = draw.rand(400, 28, 28) * 255, draw.rand(400, 28, 28) > 0.6
    pictures, labels = np.uint8(grey * there).astype(np.float32) / 255, np.arange(400) % 10
    rows = slice(0, 300) if split == "train" else slice(300, 400)
    return DigitPool(pictures[rows], labels[rows])


def original_scenes(split):
    pool, seed = original_pool(split), {"train": 1, "test": 0}[split]
    scenes, patterns = draw_scenes(pool.labels, classes=10, size=SIZE, count=6, digits=5, noise=50, seed=seed)
    return scenes, patterns, scene_pictures(scenes, patterns, pool, SIZE)


@pytest.mark.parametrize("split", ["train", "test"])
def test_scenes_equal_the_original_to_the_bit(split):
    scenes, patterns, picture = original_scenes(split)
    assert patterns.sum() == pytest.approx(ORIGINAL[f"noise_sum_{split}"], rel=1e-6)
    for item, (scene, known) in enumerate(zip(scenes, ORIGINAL[split], strict=True)):
        assert (scene.target, scene.digits.tolist()) == (known["target"], known["indices"])
        assert scene.places.tolist() == known["positions"]
        assert scene.noise[:3].tolist() == known["noise_first"]
        assert scene.patterns[:5].tolist() == known["patterns_first"]
        grey = picture(item).grey((0, 0, *SIZE))
        assert hashlib.sha256(grey.tobytes()).hexdigest() == known["sha256"]


@pytest.mark.parametrize("small", [0, 2**24])
def test_a_scene_is_painted_alike_in_parts_and_as_a_whole(monkeypatch, small):
    monkeypatch.setattr(scene_picture, "_SMALL", small)
    picture = original_scenes("train")[2](0)
    whole = np.repeat(picture.grey((0, 0, *SIZE))[:, :, None], 3, axis=2)
    for top, left, height, width in ((10, 20, 50, 60), (250, 350, 50, 50)):
        window = picture.read([(top, left, height, width)])[0]
        assert np.array_equal(window, whole[top : top + height, left : left + width])
    for wanted in ((30, 40), (7, 13)):
        expected = reduced_strips([whole], SIZE, factor_for(SIZE, wanted))
        assert np.array_equal(picture.at_least(wanted).pixels, expected.pixels)


def test_boxes_say_where_digits_are_and_most_are_of_the_label():
    data = megapixel(size=500, train=12, test=3, digits=5)
    split = data.splits["train"]
    for item in range(12):
        assert split.boxes(item).shape == (5, 4)
        assert (split.boxes(item)[:, 2:] - split.boxes(item)[:, :2] == 28).all()
        assert split.look(item).sum() == 5 * 28**2
    labels = handwritten("train").labels
    scenes, _ = draw_scenes(labels, classes=10, size=(500, 500), count=12, digits=5, noise=50, seed=1)
    for scene, target in zip(scenes, split.targets, strict=True):
        assert (labels[scene.digits] == target).sum() == 3
    assert np.array_equal(boxes(scenes[3]), split.boxes(3))


def test_data_is_opened_by_name_and_again(tmp_path, monkeypatch):
    data = open_data("megapixel(size=600, train=4, val=2, test=3)", seed=7)
    assert repr(data) == "ImageData(megapixel: 10 classes, read in parts; train 4, val 2, test 3)"
    again = reopen(data.origin)
    assert again.fingerprint == data.fingerprint
    assert np.array_equal(again.splits["val"].load(1), data.splits["val"].load(1))
    assert open_data("megapixel(size=600, train=4, val=2, test=3)").fingerprint != data.fingerprint
    monkeypatch.chdir(tmp_path)
    (tmp_path / "megapixel").mkdir()
    with pytest.raises(OptionError, match=r"megapixel\(\) for the built-in"):
        open_data("megapixel")


def test_no_digit_is_in_two_splits():
    pools = [
        {picture.tobytes() for picture in handwritten(name).pictures} for name in ("train", "val", "test")
    ]
    assert not pools[0] & pools[1] | pools[0] & pools[2] | pools[1] & pools[2]


def test_own_pictures_take_the_place_of_digits(tmp_path):
    make_folder(tmp_path / "small", classes=("cat", "cow", "dog"))
    data = open_data("megapixel()", size=500, train=6, test=3, images=str(tmp_path / "small"))
    assert data.classes == ("cat", "cow", "dog")
    assert reopen(data.origin).fingerprint == data.fingerprint
    top, left, bottom, right = data.splits["train"].boxes(0)[0]
    assert data.splits["train"].load(0)[top:bottom, left:right].any()
    with pytest.raises(DataError, match="has no split val"):
        open_data("megapixel()", size=500, train=6, val=2, test=3, images=str(tmp_path / "small"))


@pytest.mark.parametrize(
    "options", [{"size": 499}, {"size": 100_001}, {"train": 0}, {"digits": 0}, {"noise": 0}, {"test": True}]
)
def test_options_have_ranges(options):
    with pytest.raises(OptionError, match=next(iter(options))):
        megapixel(**{"size": 500, "train": 1, "test": 1} | options)


def test_a_scene_of_any_size_is_looked_at_but_not_painted_whole():
    split = megapixel(size=100_000, train=1, test=1).splits["train"]
    top, left = split.boxes(0)[0, :2]
    assert split.pictures(0).read([(top, left, 28, 28)])[0].any()
    assert split.look is None
    with pytest.raises(DataError, match="not painted whole"):
        split.load(0)


def test_files_hold_the_same_scenes(tmp_path):
    options = {"size": 520, "train": 3, "test": 2}
    table = write_megapixel(tmp_path / "scenes", **options)
    written, made = open_data(table, large=True), megapixel(**options)
    for name in ("train", "test"):
        one, other = written.splits[name], made.splits[name]
        for item in range(len(one)):
            assert np.array_equal(one.load(item), other.load(item))
            assert one.boxes(item).tolist() == other.boxes(item).tolist()
            assert np.array_equal(
                one.pictures(item).overview((52, 52)), other.pictures(item).overview((52, 52))
            )
            assert written.classes[one.targets[item]] == made.classes[other.targets[item]]
