import os
import socket

import numpy as np
import pytest
from PIL import Image

from foveate.data.checks.check import check
from foveate.data.checks.probe_files import probe_file
from foveate.data.folders import walk
from foveate.data.images.decode import read
from foveate.data.images.open_image import BYTES_A_PIXEL, MOST_PIXELS
from foveate.data.open import open_data
from foveate.errors import DataError
from foveate.tasks.image_task import ImageTask
from tests.data.image_samples import make_folder, save


@pytest.fixture
def root(tmp_path):
    return make_folder(tmp_path / "data")


def names(data):
    return sorted(name for split in data.splits.values() for name in split.names)


@pytest.mark.parametrize(
    "link, target",
    [("train/cat/all", "."), ("train/all", "train"), ("all", "."), ("train/cat/self", "train/cat")],
)
def test_a_link_back_up_changes_nothing_and_is_told(root, link, target):
    before = names(open_data(root))
    (root / link).symlink_to(root / target, target_is_directory=True)
    data = open_data(root)
    assert names(data) == before
    assert [f.items for f in check(data) if f.kind == "link_back"] == [(link,)]


def test_two_folders_that_link_to_each_other_end(tmp_path):
    for here, there in (("a", "b"), ("b", "a")):
        save(tmp_path / here / "x.png", ord(here))
        (tmp_path / here / "other").symlink_to(tmp_path / there, target_is_directory=True)
    found = [path.relative_to(tmp_path).as_posix() for path in walk.visible_files(tmp_path)]
    assert found == ["a/other/x.png", "a/x.png", "b/other/x.png", "b/x.png"]


@pytest.mark.parametrize("name", ["a", "z"])
def test_a_link_to_a_folder_beside_it_is_followed_whatever_its_name(tmp_path, name):
    save(tmp_path / "b" / "x.png", 1)
    (tmp_path / name).symlink_to(tmp_path / "b", target_is_directory=True)
    assert walk.visible_files(tmp_path) == sorted([tmp_path / "b/x.png", tmp_path / name / "x.png"])


def test_many_folders_that_all_link_to_each_other_are_refused_at_once(tmp_path):
    for here in "abcdefghijkl":
        (tmp_path / here).mkdir()
        for there in set("abcdefghijkl") - {here}:
            (tmp_path / here / f"to_{there}").symlink_to(tmp_path / there, target_is_directory=True)
    with pytest.raises(DataError, match="behind more than 8 nested links"):
        walk.visible_files(tmp_path)


def test_a_link_to_pictures_elsewhere_is_followed(root, tmp_path):
    save(tmp_path / "elsewhere" / "new.png", 99)
    (root / "train/cat/more").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert "train/cat/more/new.png" in names(open_data(root))


def test_a_folder_that_cannot_be_read_is_an_error(root, monkeypatch):
    usual = os.scandir

    def scandir(path):
        if str(path).endswith("train/cat/closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return usual(path)

    save(root / "train/cat/closed/1.png", 77)
    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(
        DataError, match=r"train/cat/closed: this folder cannot be read \(Permission denied\)"
    ):
        open_data(root)
    assert {finding.kind for finding in ImageTask.check_source(root)} == {"cannot_open", "unreadable_folder"}


@pytest.mark.parametrize("kind", ["a pipe", "a socket", "a device"])
def test_what_is_not_a_file_is_named_and_never_opened(root, kind, monkeypatch):
    path = root / "train/cat/odd.jpg"
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a socket":
        monkeypatch.chdir(path.parent)  # the name of a socket has to be short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    else:
        path.symlink_to("/dev/zero")
    for call in (lambda: open_data(root), lambda: read(path)):
        with pytest.raises(DataError, match=rf"odd\.jpg: is {kind}, not a file"):
            call()
    assert probe_file(path).problem == "unreadable"


def test_a_file_of_more_bytes_than_any_picture_needs_is_not_read(root):
    path = root / "train/cat/sparse.jpg"
    with path.open("wb") as file:
        file.truncate(BYTES_A_PIXEL * MOST_PIXELS + 1)
    with pytest.raises(DataError, match=r"sparse\.jpg: a file of 2\.1 GB.*--max-pixels"):
        open_data(root)
    assert probe_file(path).problem == "bomb"


def test_a_picture_beyond_the_limit_is_named_and_read_if_it_is_trusted(root, monkeypatch):
    save(root / "train/cat/large.png", 5, 300, 400)
    data = open_data(root, max_pixels=100_000)
    item = data.splits["train"].names.index("train/cat/large.png")
    with pytest.raises(DataError, match=r"400x300 pixels, more than 100,000.*--max-pixels 120000"):
        data.splits["train"].load(item)
    assert [f.kind for f in check(data) if f.severity == "error"] == ["bomb"]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # Pillow's own limit: twice that
    assert open_data(root, max_pixels=120_000).splits["train"].load(item).shape == (300, 400, 3)
    assert Image.MAX_IMAGE_PIXELS == 1000


def test_postscript_called_a_picture_starts_nothing(tmp_path, monkeypatch):
    from PIL import EpsImagePlugin

    monkeypatch.setattr(
        EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was started")
    )
    path = tmp_path / "a.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    with pytest.raises(DataError, match=r"a\.jpg: cannot be read as an image"):
        read(path)
    assert probe_file(path).detail == "not an image of a format that is read"


def test_pictures_of_other_formats_are_named_with_what_to_do(root):
    for name in ("phone.HEIC", "scan.dcm", "raw.NEF"):
        (root / "train/cat" / name).write_bytes(b"something")
    (found,) = [finding for finding in check(open_data(root)) if finding.kind == "unread_picture"]
    assert found.severity == "warning" and len(found.items) == 3
    assert ".heic: pip install pillow-heif." in found.message
    assert ".dcm, .nef: convert them to PNG or TIFF." in found.message


def test_a_folder_of_nothing_but_such_pictures_says_so(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.dcm").write_bytes(b"something")
    with pytest.raises(DataError, match=r"2 pictures are of formats that are not read\. \.dcm: convert"):
        open_data(tmp_path)


@pytest.mark.parametrize("ending", ["jfif", "JPE", "jp2", "TIFF", "Pnm", "dib", "avif"])
def test_less_usual_endings_are_read(root, ending):
    forms = {"jfif": "JPEG", "jpe": "JPEG", "jp2": "JPEG2000", "pnm": "PPM", "dib": "DIB"}
    kind = forms.get(ending.lower(), ending.upper())
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(root / f"train/cat/odd.{ending}", format=kind)
    data = open_data(root)
    assert f"train/cat/odd.{ending}" in names(data)
    assert "wrong_extension" not in {finding.kind for finding in check(data)}


def test_names_that_are_not_utf8_are_written_as_escapes(tmp_path):
    for label in (b"caf\xe9", b"bar"):
        for number in range(5):
            save(
                tmp_path / "data" / os.fsdecode(label) / os.fsdecode(b"%d\xff.png" % number),
                number + len(label),
            )
    data = open_data(tmp_path / "data")
    assert data.classes == ("bar", r"caf\xe9")
    assert r"caf\xe9/0\xff.png" in names(data)
    assert data.splits["train"].load(0).shape == (24, 32, 3)
    for finding in check(data):
        "".join((finding.message, *finding.items)).encode()
