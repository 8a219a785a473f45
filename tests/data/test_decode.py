import numpy as np
import pytest
from PIL import Image

from foveate.data.checks.probe_files import probe_file
from foveate.data.images.decode import read, read_square, square
from foveate.data.images.open_image import file_size
from foveate.data.masks.raw import raw_mask
from foveate.errors import DataError
from tests.data.image_samples import pixels, save


def test_a_lossless_file_comes_back_as_it_was(tmp_path):
    np.testing.assert_array_equal(read(save(tmp_path / "a.png", 5)), pixels(5))


@pytest.mark.parametrize(
    "orientation, turned",
    [(3, lambda x: x[::-1, ::-1]), (6, lambda x: np.rot90(x, -1)), (8, np.rot90), (2, np.fliplr)],
)
def test_exif_rotation_is_applied(tmp_path, orientation, turned):
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(read(save(tmp_path / "a.png", 5, exif=exif)), turned(pixels(5)))


def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path):
    wide = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(wide).save(tmp_path / "a.png")
    np.testing.assert_allclose(read(tmp_path / "a.png")[:, :, 1], wide / 257, atol=0.51)


def test_transparency_is_laid_over_white(tmp_path):
    image = np.zeros((2, 2, 4), np.uint8)
    image[0, :, 3] = 255
    Image.fromarray(image).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png")[:, 0, 0].tolist() == [0, 255]


@pytest.mark.parametrize("suffix", [".tif", ".png", ".webp"])
def test_a_fourth_channel_that_is_a_picture_is_not_transparency(tmp_path, suffix):
    four = np.dstack([pixels(1), pixels(2)[..., 0]])
    path = tmp_path / f"a{suffix}"
    options = {"lossless": True, "exact": True} if suffix == ".webp" else {}
    Image.fromarray(four).save(path, **options)
    np.testing.assert_array_equal(read(path), pixels(1))


@pytest.mark.parametrize("alpha", [np.full((24, 32), 120), (np.arange(768).reshape(24, 32) > 300) * 255])
def test_one_veil_and_a_cut_out_are_transparency(tmp_path, alpha):
    Image.fromarray(np.dstack([pixels(1), alpha.astype(np.uint8)])).save(tmp_path / "a.png")
    share = alpha[..., None] / 255
    np.testing.assert_allclose(read(tmp_path / "a.png"), pixels(1) * share + 255 * (1 - share), atol=1)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_is_that_of_the_upright_picture(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"a{suffix}", 5, exif=exif)
    assert file_size(path) == read(path).shape[:2] == probe_file(path).size[::-1]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_is_turned_as_its_image_is(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    values = np.random.default_rng(0).integers(0, 3, (5, 7), dtype=np.uint8)
    Image.fromarray(values * 100).save(tmp_path / "image.png", exif=exif)
    Image.fromarray(values).save(tmp_path / "mask.png", exif=exif)
    np.testing.assert_array_equal(
        raw_mask(tmp_path / "mask.png", "index") * 100, read(tmp_path / "image.png")[..., 0]
    )


def test_palette_transparency_is_laid_over_white(tmp_path):
    image = Image.fromarray(np.array([[0, 1]], np.uint8), mode=None).convert("P")
    image.putpalette([0, 0, 0, 200, 10, 10])
    image.save(tmp_path / "a.png", transparency=0)
    assert read(tmp_path / "a.png")[0].tolist() == [[255, 255, 255], [200, 10, 10]]


def test_cmyk_grey_and_animations_become_rgb(tmp_path):
    Image.fromarray(pixels(1)).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read(tmp_path / "a.jpg").astype(int) - pixels(1)).mean() < 8
    Image.fromarray(pixels(1)).convert("L").save(tmp_path / "b.png")
    assert read(tmp_path / "b.png").shape == (24, 32, 3)
    frames = [Image.fromarray(np.full((4, 4, 3), level, np.uint8)) for level in (10, 200)]
    frames[0].save(tmp_path / "c.gif", save_all=True, append_images=frames[1:])
    assert read(tmp_path / "c.gif").max() == 10


@pytest.mark.parametrize("height, width", [(60, 40), (40, 60), (7, 90), (20, 20), (16, 16)])
def test_square_is_resize_then_centre_crop(height, width):
    image, size = Image.fromarray(pixels(3, height, width)), 16
    short = min(height, width)
    scaled = image.resize(
        (round(width * size / short), round(height * size / short)), Image.Resampling.BICUBIC
    )
    left, top = (scaled.width - size) // 2, (scaled.height - size) // 2
    plain = np.asarray(scaled.crop((left, top, left + size, top + size)))
    got = square(np.asarray(image), size)
    assert got.shape == (size, size, 3) and got.dtype == np.uint8
    # The crop of the scaled picture starts at a whole pixel, ours at the exact middle.
    assert np.abs(got.astype(int) - plain).mean() < 6


def test_a_large_jpeg_decoded_small_is_the_same_picture(tmp_path):
    path = save(tmp_path / "a.jpg", 4, 800, 1000, quality=95)
    full = square(read(path), 32).astype(int)
    assert np.abs(read_square(path, 32).astype(int) - full).mean() < 2


@pytest.mark.parametrize("data", [b"", b"nothing", b"\x89PNG\r\n\x1a\n" + b"0" * 40])
def test_a_broken_file_is_named(tmp_path, data):
    (tmp_path / "bad.png").write_bytes(data)
    with pytest.raises(DataError, match=r"bad\.png: cannot be read"):
        read(tmp_path / "bad.png")


def test_a_truncated_file_is_named(tmp_path):
    path = save(tmp_path / "a.jpg", 4, 200, 200)
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(DataError, match=r"a\.jpg.*truncated"):
        read_square(path, 32)
