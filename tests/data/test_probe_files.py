import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from foveate.data.checks.probe_files import probe_file, probe_pixels
from foveate.data.images.decode import read
from foveate.errors import DataError
from tests.data.image_samples import pixels, save


def sixteen_bit_colour(path, height=4, width=5):
    """A PNG of 16 bits a channel in colour, written by hand: Pillow cannot write one."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + np.full(width * 3, 40_000, ">u2").tobytes() for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    packed = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + packed)
    return path


def test_sixteen_bit_colour_is_told_though_pillow_hides_it(tmp_path):
    path = sixteen_bit_colour(tmp_path / "a.png")
    with Image.open(path) as image:
        assert image.mode == "RGB"
    assert probe_file(path).traits == {"sixteen_bit"}


@pytest.mark.parametrize(
    "suffix", [".png", ".jpg", ".jpeg", ".JPG", ".webp", ".bmp", ".tiff", ".ppm", ".gif"]
)
def test_a_sound_file_of_any_format_has_no_trait(tmp_path, suffix):
    probe = probe_file(save(tmp_path / f"a{suffix}", 3))
    assert (probe.problem, probe.traits, probe.size) == (None, frozenset(), (32, 24))


def test_a_two_view_jpeg_of_a_telephone_is_not_animated(tmp_path):
    views = [Image.fromarray(pixels(n)) for n in range(2)]
    views[0].save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=views[1:])
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.format == "MPO"
    assert probe_file(tmp_path / "a.jpg").traits == frozenset()


def test_pixels_and_a_lossless_file_look_the_same(tmp_path):
    one, other = probe_file(save(tmp_path / "a.png", 3)), probe_pixels(pixels(3))
    assert one.look == other.look and (one.thumb == other.thumb).all()


@pytest.mark.parametrize("cut", range(0, 3000, 211))
def test_a_file_cut_anywhere_is_a_problem_and_never_an_exception(tmp_path, cut):
    for suffix in (".jpg", ".png", ".gif", ".tif", ".webp"):
        path = save(tmp_path / f"a{suffix}", 3, 60, 60)
        data = path.read_bytes()
        path.write_bytes(data[: min(cut, len(data) * 9 // 10)])
        assert probe_file(path).problem in ("empty", "unreadable", "truncated")


@pytest.mark.parametrize("suffix", [".png", ".gif", ".jpg", ".bmp", ".tif", ".webp", ".ppm", ".jp2"])
@pytest.mark.parametrize("cut", [1, 2, 3, 5, 8, 11, 12, 13, 16, 20])
def test_a_file_cut_at_its_very_end_is_a_problem(tmp_path, suffix, cut):
    path = save(tmp_path / f"a{suffix}", 3)
    assert probe_file(path).problem is None
    path.write_bytes(path.read_bytes()[:-cut])
    assert probe_file(path).problem in ("truncated", "unreadable")


@pytest.mark.parametrize("kind", ["animated.gif", "palette.gif", "chunks.png", "trailing.png"])
def test_a_whole_file_of_many_parts_is_sound(tmp_path, kind):
    frames = [Image.fromarray(pixels(n)) for n in range(3)]
    path = tmp_path / kind
    if kind == "animated.gif":
        frames[0].save(path, save_all=True, append_images=frames[1:], comment=b"x" * 700)
    elif kind == "palette.gif":
        frames[0].quantize(8).save(path)
    else:
        information = PngInfo()
        information.add_text("Comment", "y" * 3000, zip=True)
        frames[0].save(path, pnginfo=information, compress_level=0)
    if kind == "trailing.png":  # some tools put something behind the end
        path.write_bytes(path.read_bytes() + b"more")
    assert probe_file(path).problem is None
    path.write_bytes(path.read_bytes()[: -1 - 4 * (kind == "trailing.png")])
    assert probe_file(path).problem == "truncated"


@given(
    data=st.binary(max_size=300),
    head=st.sampled_from([b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"II*\0", b"P5\n"]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_a_problem_and_never_an_exception(tmp_path, data, head):
    for suffix in (".png", ".tga"):
        (tmp_path / f"a{suffix}").write_bytes(head + data)
        probe_file(tmp_path / f"a{suffix}")
    try:
        read(tmp_path / "a.png")
    except DataError as error:
        assert "a.png" in str(error)


def test_a_missing_file_is_a_problem(tmp_path):
    assert probe_file(tmp_path / "none.jpg").problem == "unreadable"
