import struct
import zlib

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from foveate.data.cache import cache
from foveate.data.checks.check import check
from foveate.data.checks.probe_files import probe_file
from foveate.data.images.decode import read
from foveate.data.images.levels import SIXTEEN, eight_bits, levels_of
from foveate.data.images.open_image import Reading
from foveate.data.open import open_data
from tests.data.image_samples import pixels


def deep_png(path, values):
    """A PNG of 16 bits a channel in colour, which Pillow reads and cannot write."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def folder(root, make, count=12):
    """Two classes of pictures; ``make`` gives the values of each by its number."""
    for number in range(count):
        path = root / "ab"[number % 2] / f"{number}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(make(number)).save(path)
    return root


def grey(split):
    return np.stack([split.load(item)[..., 0] for item in range(len(split))])


@pytest.mark.parametrize(
    "values, levels",
    [
        (np.array([0, 200], np.uint16), (0, 255)),
        (np.array([0, 1000], np.uint16), (0, 1023)),
        (np.array([3, 4095], np.uint16), (0, 4095)),
        (np.array([0, 16_000], np.uint16), (0, 16_383)),
        (np.array([0, 20_000], np.uint16), (0, 65_535)),
        (np.array([-1000, 3000], np.int32), (-1000, 3000)),
        (np.array([0, 100_000], np.int32), (0, 100_000)),
        (np.array([0, 0.9], np.float32), (0, 1)),
        (np.array([0, 0.01], np.float32), (0, np.float32(0.01))),
        (np.array([0, 200.5], np.float32), (0, 255)),
        (np.array([-1, 1], np.float32), (-1, 1)),
        (np.array([np.nan, 0, 1, np.inf], np.float32), (0, 1)),
        (np.array([np.nan, np.nan], np.float32), SIXTEEN),
        (np.array([7, 7], np.uint16), (0, 255)),
    ],
)
def test_the_levels_of_a_picture(values, levels):
    assert levels_of(values) == levels


@given(
    arrays.arrays(
        st.sampled_from([np.uint16, np.int32, np.float32]), st.tuples(st.integers(1, 5), st.integers(1, 5))
    )
)
@example(np.full((1, 1), -(2.0**54), np.float32))
def test_any_values_become_bytes_in_their_order(values):
    low, high = levels_of(values)
    assert low < high
    bytes_ = eight_bits(values, (low, high)).astype(int).ravel()
    flat = values.ravel()
    finite = np.isfinite(flat)
    order = np.argsort(flat[finite], kind="stable")
    assert (np.diff(bytes_[finite][order]) >= 0).all()
    assert (bytes_[np.isnan(flat)] == 0).all()


def test_one_scale_for_all_files_of_a_set_and_for_new_pictures(tmp_path):
    ramp = np.linspace(0, 1, 24 * 32).reshape(24, 32)
    data = open_data(folder(tmp_path / "scans", lambda n: (ramp * (4000 if n else 900)).astype(np.uint16)))
    assert data.levels == (0, 4095)
    assert any("0 becomes black and 4095 white" in note for note in data.origin["notes"])
    dark = next(
        g
        for s in data.splits.values()
        for g, name in zip(grey(s), s.names, strict=True)
        if "0.tif" in name and "10" not in name
    )
    np.testing.assert_allclose(dark, ramp * 900 / 4095 * 255, atol=1)
    square = cache(data, size=24, folder=tmp_path / "cache")
    assert square["train"].images.max() > 200
    lone = read(tmp_path / "scans/a/0.tif", Reading(data.levels))
    np.testing.assert_array_equal(lone[..., 0], dark)


@pytest.mark.parametrize(
    "make, levels",
    [
        (lambda n: (pixels(n)[..., 0] / 255 * 2 - 1).astype(np.float32), "negative"),
        (lambda n: pixels(n)[..., 0].astype(np.int32) * 12 - 1024, "negative"),
        (lambda n: pixels(n)[..., 0].astype(np.uint16) + 30_000, "narrow"),
        (lambda n: pixels(n)[..., 0].astype(np.uint16) * 257, "sixteen"),
    ],
)
def test_no_set_is_left_with_few_grey_levels(tmp_path, make, levels):
    data = open_data(folder(tmp_path, make))
    found = np.concatenate([grey(split).ravel() for split in data.splits.values()])
    assert len(np.unique(found)) > 200
    assert (data.levels == SIXTEEN) == (levels == "sixteen")
    assert "beyond_levels" not in {finding.kind for finding in check(data)}


def test_whole_numbers_and_fractions_in_one_set_are_scaled_each_by_itself(tmp_path):
    data = open_data(
        folder(
            tmp_path,
            lambda n: (
                pixels(n)[..., 0].astype(np.float32) / 255
                if n % 3
                else pixels(n)[..., 0].astype(np.uint16) * 257
            ),
        )
    )
    assert data.levels is None and all(len(np.unique(g)) > 50 for s in data.splits.values() for g in grey(s))


def test_colour_of_sixteen_bits_is_read_with_all_of_them(tmp_path):
    values = np.random.default_rng(0).integers(0, 4096, (6, 7, 3)).astype(np.uint16)
    deep_png(tmp_path / "a.png", values)
    expected = (values * (255 / 4095)).round()
    np.testing.assert_array_equal(read(tmp_path / "a.png", Reading((0, 4095))), expected)
    np.testing.assert_array_equal(read(tmp_path / "a.png"), expected)  # by its own depth
    np.testing.assert_array_equal(read(tmp_path / "a.png", Reading(SIXTEEN)), values >> 8)


def test_a_file_beyond_the_common_levels_and_one_that_is_not_finite_are_found(tmp_path):
    Image.fromarray(np.full((4, 4), 9000, np.uint16)).save(tmp_path / "a.png")
    assert "beyond_levels" in probe_file(tmp_path / "a.png", Reading((0, 4095))).traits
    Image.fromarray(np.array([[0, np.nan], [1, 0.5]], np.float32)).save(tmp_path / "b.tif")
    probe = probe_file(tmp_path / "b.tif")
    assert probe.problem is None and "not_finite" in probe.traits
    assert read(tmp_path / "b.tif")[..., 0].tolist() == [[0, 0], [255, 128]]
