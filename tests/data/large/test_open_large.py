"""Pictures in parts: every format shows the same pixels, in windows, strips and overviews."""

import io
import sys
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from foveate.data.images.decode import read
from foveate.data.images.open_image import Reading
from foveate.data.large import by_pillow, by_vips, large_picture, png_strips, tiled_tiff
from foveate.data.large.large_picture import factor_for, reduced_strips
from foveate.data.large.open_large import open_large
from foveate.errors import DataError
from tests.data.large.large_samples import HEIGHT, NAMES, WIDTH, pixels, pyramid, write

BOXES = [(0, 0, 40, 50), (HEIGHT - 30, WIDTH - 60, 30, 60), (20, 33, 90, 111), (7, 7, 1, 1)]


@pytest.fixture(autouse=True)
def small_strips(monkeypatch):
    for module in (large_picture, png_strips, tiled_tiff, by_pillow, by_vips):
        monkeypatch.setattr(module, "STRIP", 2000)


@pytest.mark.parametrize("name", NAMES)
def test_windows_strips_and_overviews_show_the_picture(tmp_path, name):
    shown = write(tmp_path / name)
    picture = open_large(tmp_path / name)
    assert picture.size == (HEIGHT, WIDTH)
    for (top, left, height, width), window in zip(BOXES, picture.read(BOXES), strict=True):
        assert np.array_equal(window, shown[top : top + height, left : left + width])
    strips = list(picture.strips())
    assert len(strips) > 1
    assert np.array_equal(np.concatenate(strips), shown)
    small = Image.fromarray(shown).resize((40, 24), Image.Resampling.BILINEAR)
    assert (
        np.abs(picture.overview((24, 40)) - np.asarray(small, np.float64)).mean() < 9
    )  # half of it is grain
    assert picture.overview((HEIGHT, WIDTH)).tolist() == shown.tolist()


def test_a_jpeg_is_decoded_at_a_smaller_size_for_its_overview(tmp_path, monkeypatch):
    write(tmp_path / "photo.jpg", pixels(400, 600))
    picture, shown = open_large(tmp_path / "photo.jpg"), read(tmp_path / "photo.jpg")
    assert np.array_equal(picture.read([(100, 200, 30, 40)])[0], shown[100:130, 200:240])
    monkeypatch.setattr("foveate.data.large.by_pillow.open_upright", None)  # what decodes whole
    small = np.asarray(Image.fromarray(shown).resize((60, 40), Image.Resampling.BILINEAR), np.float64)
    assert np.abs(picture.overview((40, 60)) - small).mean() < 2


def test_averages_over_whole_squares_whatever_the_strips():
    shown, factor = pixels(), 4
    whole = reduced_strips([shown], shown.shape[:2], factor)
    cut = reduced_strips(np.split(shown, [3, 10, 11, 90]), shown.shape[:2], factor)
    assert np.array_equal(whole.pixels, cut.pixels)
    assert whole.pixels[2, 3, 1] == round(shown[8:12, 12:16, 1].mean())
    assert (whole.height, whole.width) == (HEIGHT / 4, WIDTH / 4)
    assert factor_for((1500, 1500), (180, 180)) == 4


def test_an_overview_comes_from_the_level_of_the_pyramid_that_is_just_large_enough(tmp_path, monkeypatch):
    rgb = pixels(512, 512)
    pyramid(tmp_path / "p.tif", rgb)
    picture = open_large(tmp_path / "p.tif")
    asked = []
    inner = picture._read
    monkeypatch.setattr(
        picture, "_read", lambda level, boxes: asked.append(level.height) or inner(level, boxes)
    )
    picture.overview((100, 100))
    assert {*asked} == {128}
    picture.overview((130, 130))
    assert {*asked} == {128, 256}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    tag = [(274, "H", 1, orientation, True)]
    Image.fromarray(pixels()).save(tmp_path / "p.png", exif=exif)
    Image.fromarray(pixels()).save(tmp_path / "p.jpg", exif=exif, quality=97)
    tifffile.imwrite(tmp_path / "p.tif", pixels(), tile=(48, 64), photometric="rgb", extratags=tag)
    for name in ("p.png", "p.jpg", "p.tif"):
        picture, shown = open_large(tmp_path / name), read(tmp_path / name)
        assert picture.size == shown.shape[:2]
        assert np.array_equal(picture.read([(20, 30, 60, 70)])[0], shown[20:80, 30:100])
        size = tuple(side // 5 for side in picture.size)
        small = np.asarray(Image.fromarray(shown).resize(size[::-1], Image.Resampling.BILINEAR), np.float64)
        assert np.abs(picture.overview(size) - small).mean() < 3


def test_alpha_is_blended_over_white(tmp_path):
    rgba = np.dstack([pixels(), np.full((HEIGHT, WIDTH), 255, np.uint8)])
    rgba[:50, :, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "p.png")
    tifffile.imwrite(tmp_path / "p.tif", rgba, tile=(48, 64), photometric="rgb", extrasamples=["unassalpha"])
    for name in ("p.png", "p.tif"):
        window = open_large(tmp_path / name).read([(40, 0, 20, 20)])[0]
        assert (window[:10] == 255).all()
        assert np.array_equal(window[10:], rgba[50:60, :20, :3])


@pytest.mark.parametrize("name", ["tiled.tif", "strips.tif", "colour.png", "picture.npy"])
def test_a_truncated_file_is_an_error_that_names_it(tmp_path, name):
    write(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    broken = tmp_path / f"broken{name[-4:]}"
    broken.write_bytes(data[: len(data) - len(data) // 3])
    with pytest.raises(DataError, match="broken"):
        open_large(broken, Reading(max_pixels=10)).overview((20, 30))


def test_a_damaged_tile_is_an_error_and_the_others_are_read(tmp_path):
    tifffile.imwrite(tmp_path / "p.tif", pixels(), tile=(64, 64), compression="zlib", photometric="rgb")
    with tifffile.TiffFile(tmp_path / "p.tif") as tiff:
        place = tiff.pages[0].dataoffsets[0]
    data = bytearray((tmp_path / "p.tif").read_bytes())
    data[place : place + 20] = bytes(20)
    (tmp_path / "p.tif").write_bytes(data)
    picture = open_large(tmp_path / "p.tif")
    assert np.array_equal(picture.read([(70, 70, 10, 10)])[0], pixels()[70:80, 70:80])
    with pytest.raises(DataError, match=r"block 0 is damaged.*Copy it again"):
        picture.read([(0, 0, 10, 10)])


def test_a_tile_that_is_not_stored_is_black(tmp_path):
    tiles = iter([np.full((32, 32), 9, np.uint8), None])
    tifffile.imwrite(tmp_path / "p.tif", tiles, shape=(32, 64), dtype=np.uint8, tile=(32, 32))
    assert open_large(tmp_path / "p.tif").read([(0, 20, 1, 24)])[0][0, :, 0].tolist() == [9] * 12 + [0] * 12


def test_compression_that_is_not_known_says_what_to_install(tmp_path, monkeypatch):
    Image.fromarray(pixels()).save(tmp_path / "p.tif", compression="tiff_lzw")
    for name in ("imagecodecs", "pyvips"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("foveate.data.large.open_large.has_vips", lambda: False)
    assert np.array_equal(
        open_large(tmp_path / "p.tif").read([(5, 6, 7, 8)])[0], pixels()[5:12, 6:14]
    )  # small
    with pytest.raises(DataError, match=r"LZW.*pip install imagecodecs"):
        open_large(tmp_path / "p.tif", Reading(max_pixels=1000))


def test_libvips_reads_tiles_that_tifffile_does_not(tmp_path):
    pytest.importorskip("pyvips")
    image = Image.fromarray(pixels())
    image.save(tmp_path / "p.tif", compression="tiff_lzw")
    image.save(tmp_path / "p.jpg", quality=95)
    picture = open_large(tmp_path / "p.tif", Reading(max_pixels=1000))
    assert picture.at_random
    assert np.array_equal(picture.read([(5, 6, 7, 8)])[0], pixels()[5:12, 6:14])
    picture, shown = open_large(tmp_path / "p.jpg", Reading(max_pixels=1000)), read(tmp_path / "p.jpg")
    assert not picture.at_random
    boxes = [(90, 6, 30, 80), (5, 100, 7, 8)]
    for (top, left, height, width), window in zip(boxes, picture.read(boxes), strict=True):
        assert np.abs(window - shown[top : top + height, left : left + width].astype(int)).max() <= 2


def test_without_tifffile_a_picture_that_can_be_decoded_whole_is_read_all_the_same(tmp_path, monkeypatch):
    write(tmp_path / "tiled.tif")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    monkeypatch.setattr("foveate.data.large.open_large.has_vips", lambda: False)
    assert np.array_equal(open_large(tmp_path / "tiled.tif").read([(5, 6, 7, 8)])[0], pixels()[5:12, 6:14])


def saved(values):
    out = io.BytesIO()
    np.save(out, values)
    return out.getvalue()


@pytest.mark.parametrize(
    ("write_it", "says"),
    [
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"II*\0 nothing"), "cannot be read"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"), "cannot be read|header"),
        (lambda path: path.write_bytes(saved(np.zeros((3, 4, 5)))), "expected a picture"),
        (lambda path: None, "cannot be opened"),
    ],
)
def test_what_is_no_picture_is_an_error(tmp_path, write_it, says):
    write_it(tmp_path / "p.tif")
    with pytest.raises(DataError, match=says):
        open_large(tmp_path / "p.tif")


def test_a_tile_that_unpacks_to_far_too_much_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(tiled_tiff, "_BOMB", 2**20)
    bomb = zlib.compress(bytes(2**22))
    tiles = iter([bomb])
    tifffile.imwrite(
        tmp_path / "p.tif", tiles, shape=(64, 64), dtype=np.uint8, tile=(64, 64), compression="zlib"
    )
    with pytest.raises(DataError, match="unpacks to more than"):
        open_large(tmp_path / "p.tif").read([(0, 0, 5, 5)])


def test_one_huge_strip_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tiled_tiff, "MOST_BLOCK", 1000)
    tifffile.imwrite(tmp_path / "p.tif", pixels(), photometric="rgb", compression="zlib", rowsperstrip=HEIGHT)
    monkeypatch.setattr("foveate.data.large.open_large.has_vips", lambda: False)
    with pytest.raises(DataError, match="Write it in tiles"):
        open_large(tmp_path / "p.tif", Reading(max_pixels=1000))


def test_an_overview_has_a_limit(tmp_path, monkeypatch):
    write(tmp_path / "picture.npy")
    monkeypatch.setattr(large_picture, "MOST_OVERVIEW", 1000)
    with pytest.raises(DataError, match="smaller scale"):
        open_large(tmp_path / "picture.npy").overview((50, 60))
