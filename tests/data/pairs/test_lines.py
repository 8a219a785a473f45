"""Lines in one run of bytes are the lines of the file, and nothing else ends one."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foveate.data.pairs.lines import Lines
from foveate.data.pairs.parting_line import parting_line
from foveate.data.pairs.read_lines import read_lines
from foveate.errors import DataError

LINES = st.lists(st.text(st.sampled_from("aß \t\u2028\x85\x0b\x0cé"), max_size=6))


@given(LINES, st.booleans(), st.booleans())
def test_line_feeds_alone_end_lines(lines, windows, last):
    end = "\r\n" if windows else "\n"
    text = end.join(lines) + (end if last and lines else "")
    expected = lines if last or (lines and lines[-1]) else lines[:-1]
    found = Lines.split(text.encode())
    assert list(found) == expected == [found[item] for item in range(len(found))]


@given(LINES)
def test_lines_of_texts_are_the_texts(lines):
    found = Lines.of(lines)
    assert list(found) == lines and found == Lines.of(list(found))
    if all("\n" not in line for line in lines) and (not lines or lines[-1]):
        assert found.digest() == Lines.split("\n".join(lines).encode()).digest()


def test_some_lines_share_the_bytes():
    lines = Lines.split(b"a\nb\nc\nd")
    some = lines.taken(np.array([3, 0]))
    assert list(some) == ["d", "a"] and some.text is lines.text
    assert list(lines[1:3]) == ["b", "c"]
    assert lines.digest() != lines.taken(np.array([0, 1, 3, 2])).digest()
    assert Lines.of(["ab", ""]).digest() != Lines.of(["a", "b"]).digest()


def test_byte_order_mark_and_invalid_bytes():
    assert list(Lines.split(b"\xef\xbb\xbfa\nb")) == ["a", "b"]
    assert list(Lines.split(b"pi\xf1ata\nb")) == ["pi\ufffdata", "b"]
    assert list(Lines.split(b"\xef\xbb\xbf")) == list(Lines.split(b"")) == []


def test_files_are_read_plain_and_compressed(tmp_path):
    (tmp_path / "a.en").write_bytes(b"one\ntwo\n")
    (tmp_path / "a.en.gz").write_bytes(gzip.compress(b"one\ntwo\n", mtime=0))
    assert list(read_lines(tmp_path / "a.en")) == list(read_lines(tmp_path / "a.en.gz")) == ["one", "two"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.en", None, "no such file"),
        ("a.en.gz", b"plain text", "cannot be read"),
        ("a.en.gz", gzip.compress(b"text" * 1000, mtime=0)[:20], "cannot be read"),
        ("a.en", "two\nlines".encode("utf-16"), "iconv -f UTF-16 -t UTF-8 a.en"),
        ("a.en", b"PK\x03\x04\0\0", "zero bytes"),
    ],
)
def test_what_is_not_text_is_refused(tmp_path, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_lines(tmp_path / name)


def test_folders_and_bombs_are_refused(tmp_path):
    with pytest.raises(DataError, match="not a file"):
        read_lines(tmp_path)
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(b"a" * 10_000), mtime=0))
    with pytest.raises(DataError, match="MiB of text"):
        read_lines(tmp_path / "a.gz", largest=9_999)


@pytest.mark.parametrize("place", [30, 100, 170])
@pytest.mark.parametrize("missing", [1, 5])
def test_the_line_from_which_texts_part_is_found(place, missing):
    draw = np.random.default_rng(place)
    first = draw.integers(20, 200, 200)
    second = (first * draw.uniform(0.95, 1.3, 200)).astype(np.int64)
    cut = np.delete(second, slice(place, place + missing))
    assert abs(parting_line(first, cut) - place) <= 3
    assert abs(parting_line(cut, first) - place) <= 3


def test_unrelated_texts_part_nowhere():
    draw = np.random.default_rng(0)
    assert parting_line(draw.integers(20, 200, 300), draw.integers(20, 200, 290)) is None
    assert parting_line(np.arange(5), np.arange(4)) is None
