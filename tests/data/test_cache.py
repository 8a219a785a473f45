import errno
import os
from pathlib import Path

import numpy as np
import pytest

from foveate.data import cache_content as rows
from foveate.data.cache import cache, cache_file
from foveate.data.images.decode import read, square
from foveate.data.open import open_data
from foveate.errors import DataError, OptionError
from tests.child_processes import child_processes
from tests.data.image_samples import make_folder, save
from tests.full_disk import no_file_beyond


@pytest.fixture
def data(tmp_path):
    return open_data(make_folder(tmp_path / "data", suffix=".jpg"))


def _fail(*_):
    raise AssertionError("decoded again")


def test_it_holds_every_image_and_label(data, tmp_path):
    splits = cache(data, size=16, folder=tmp_path / "cache")
    for name, split in splits.items():
        assert split.images.shape == (12, 3, 16, 16) and split.images.dtype == np.uint8
        assert split.names == data.splits[name].names
        np.testing.assert_array_equal(split.targets, data.splits[name].targets)
        for item, path in enumerate(data.splits[name].files):
            np.testing.assert_array_equal(split.images[item], square(read(path), 16).transpose(2, 0, 1))


def test_a_second_call_decodes_nothing(data, tmp_path, monkeypatch):
    first = cache(data, size=16, folder=tmp_path)
    monkeypatch.setattr(rows, "read_square", _fail)
    second = cache(open_data(tmp_path / "data"), size=16, folder=tmp_path)
    np.testing.assert_array_equal(first["test"].images, second["test"].images)
    assert isinstance(second["test"].images, np.memmap)
    with pytest.raises(AssertionError):
        cache(data, size=17, folder=tmp_path)


def test_another_content_is_another_cache(data, tmp_path):
    first = cache(data, size=16, folder=tmp_path)["train"].images[0].copy()
    save(data.splits["train"].files[0], 77)
    again = cache(open_data(tmp_path / "data"), size=16, folder=tmp_path)["train"].images[0]
    assert (first != again).any()


def test_scenes_are_painted_into_it(tmp_path):
    data = open_data("scenes(train=600, val=0, test=10)")
    splits = cache(data, size=32, folder=tmp_path)
    np.testing.assert_array_equal(
        splits["train"].images[599], data.splits["train"].load(599).transpose(2, 0, 1)
    )
    assert cache(data, size=24, folder=tmp_path)["test"].images.shape == (10, 3, 24, 24)


def test_the_environment_says_where(data, tmp_path, monkeypatch):
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path / "here"))
    cache(data, size=8)
    assert len(list((tmp_path / "here").glob("*.npy"))) == 2


@pytest.mark.parametrize("keep", [0, 50, 128, 2000, -1])
def test_a_file_cut_short_is_built_again(data, tmp_path, keep):
    whole = cache(data, size=16, folder=tmp_path)["train"].images.copy()
    path = cache_file(data, "train", 16, tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    np.testing.assert_array_equal(cache(data, size=16, folder=tmp_path)["train"].images, whole)


def test_a_file_of_something_else_is_built_again(data, tmp_path):
    whole = cache(data, size=16, folder=tmp_path)["train"].images.copy()
    np.save(cache_file(data, "train", 16, tmp_path), np.zeros((3, 3)))
    np.testing.assert_array_equal(cache(data, size=16, folder=tmp_path)["train"].images, whole)


def _build(source, folder, barrier, queue):
    data = open_data(source)
    barrier.wait()
    queue.put(int(cache(data, size=16, folder=folder)["train"].images.sum()))


@pytest.mark.slow
def test_builders_at_once_agree_and_leave_one_file(data, tmp_path):
    barrier, queue = child_processes.Barrier(3), child_processes.Queue()
    arguments = (tmp_path / "data", tmp_path / "cache", barrier, queue)
    builders = [child_processes.Process(target=_build, args=arguments) for _ in range(3)]
    for builder in builders:
        builder.start()
    sums = {queue.get(timeout=120) for _ in builders}
    for builder in builders:
        builder.join()
    assert sums == {int(cache(data, size=16, folder=tmp_path / "own")["train"].images.sum())}
    assert sorted(path.suffix for path in (tmp_path / "cache").iterdir()) == [".npy", ".npy"]


def test_a_write_that_fails_says_so_and_leaves_nothing(tmp_path):
    data = open_data("scenes(train=2000, val=0, test=10)")
    with no_file_beyond(100_000), pytest.raises(DataError, match=r"cannot keep 6 MiB.*FOVEATE_CACHE"):
        cache(data, size=32, folder=tmp_path)  # the third batch of writes fails
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named(data, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left on device"):
        cache(data, size=16, folder=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_bad_image_is_named_and_leaves_no_file(data, tmp_path):
    data.splits["train"].files[3].write_bytes(b"")
    with pytest.raises(DataError, match=r"3\.jpg"):
        cache(data, size=16, folder=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_flipped_bit_is_found_and_the_file_is_built_again(data, tmp_path):
    whole = cache(data, size=16, folder=tmp_path)["train"].images.copy()
    path = cache_file(data, "train", 16, tmp_path)
    stored = bytearray(path.read_bytes())
    stored[len(stored) // 2] ^= 4
    path.write_bytes(stored)
    assert np.array_equal(cache(data, size=16, folder=tmp_path)["train"].images, whole)


def test_a_size_of_nothing_is_told(data, tmp_path):
    with pytest.raises(OptionError, match="size=0"):
        cache(data, size=0, folder=Path(tmp_path))
