"""Masks and probabilities on disk are what other programs read back, and are whole or not there."""

import numpy as np
import pytest
from PIL import Image

from foveate.errors import OptionError, ShapeError
from foveate.segment.result_files import mask_file, probability_file, write_mask, write_probabilities

RANDOM = np.random.default_rng(0)
PALETTE = RANDOM.integers(0, 256, (7, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (300, 257)])
def test_a_mask_is_read_back_as_numbers_and_as_colours(size, tmp_path):
    labels = RANDOM.integers(0, 7, size, dtype=np.uint8)
    write_mask(tmp_path / "mask.png", labels, PALETTE)
    with Image.open(tmp_path / "mask.png") as mask:
        mask.verify()  # every checksum
    with Image.open(tmp_path / "mask.png") as mask:
        assert mask.mode == "P"
        assert np.array_equal(np.asarray(mask), labels)
        assert np.array_equal(np.asarray(mask.convert("RGB")), PALETTE[labels])


def test_256_classes_fit_and_more_do_not(tmp_path):
    palette = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    labels = palette[:, :1].copy()
    write_mask(tmp_path / "mask.png", labels, palette)
    with Image.open(tmp_path / "mask.png") as mask:
        assert np.array_equal(np.asarray(mask), labels)
    for count in (0, 257):
        with (
            pytest.raises(OptionError, match=f"got {count}"),
            mask_file(tmp_path / "more.png", 1, 1, np.zeros((count, 3), np.uint8)),
        ):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["mask.png"]


@pytest.mark.parametrize(
    "labels",
    [np.zeros((2, 2), np.int64), np.zeros((2, 2, 1), np.uint8), np.full((2, 2), 7, np.uint8)],
)
def test_labels_that_are_none_are_refused(labels, tmp_path):
    with pytest.raises(ShapeError):
        write_mask(tmp_path / "mask.png", labels, PALETTE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("dtype", "exact"), [("float16", 5e-4), ("float32", 0)])
def test_probabilities_in_bands_are_those_in_one_piece(dtype, exact, tmp_path):
    values = RANDOM.random((3, 10, 4)).astype(np.float32)
    write_probabilities(tmp_path / "whole.npy", values, dtype)
    with probability_file(tmp_path / "bands.npy", 10, 4, dtype) as write:
        for first, last in ((0, 3), (3, 4), (4, 10)):
            write(values[:, first:last])
    whole, parts = (np.load(tmp_path / name) for name in ("whole.npy", "bands.npy"))
    assert whole.dtype == np.dtype(dtype) and np.array_equal(whole, parts)
    assert np.abs(whole - values).max() <= exact
    with pytest.raises(ShapeError, match=r"expected \(K, H, W\)"):
        write_probabilities(tmp_path / "flat.npy", values[0])


def test_what_was_not_finished_leaves_the_old_file_alone(tmp_path):
    write_mask(tmp_path / "mask.png", np.zeros((2, 2), np.uint8), PALETTE)
    before = (tmp_path / "mask.png").read_bytes()
    with (
        pytest.raises(RuntimeError, match="stopped"),
        mask_file(tmp_path / "mask.png", 4, 4, PALETTE) as write,
    ):
        write(np.ones((2, 4), np.uint8))
        raise RuntimeError("stopped")
    assert (tmp_path / "mask.png").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["mask.png"]
