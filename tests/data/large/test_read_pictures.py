"""Pictures read from files give what the same pictures in memory give."""

import numpy as np
import pytest
import torch

from foveate.data.large.array_file import ArrayFile
from foveate.data.large.read_pictures import ReadPictures
from foveate.errors import DataError
from foveate.large_pictures import PicturesInMemory
from tests.data.large.large_samples import pixels

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
SIZES = ((90, 120), (90, 120), (60, 70))


@pytest.fixture
def files(tmp_path):
    for number, (height, width) in enumerate(SIZES):
        np.save(tmp_path / f"{number}.npy", pixels(200, 200)[number * 20 :][:height, :width])
    return [tmp_path / f"{number}.npy" for number in range(len(SIZES))]


def opened(files, mirrored=None):
    openers = [lambda file=file: ArrayFile(file) for file in files]
    return ReadPictures(openers, MEAN, STD, None if mirrored is None else np.array(mirrored))


def in_memory(file, mirrored=False):
    values = torch.from_numpy(np.load(file)).permute(2, 0, 1)[None].float() / 255
    values = (values - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    return PicturesInMemory(values.flip(3) if mirrored else values)


@pytest.mark.parametrize("mirrored", [(False, False, False), (True, False, True)])
@pytest.mark.parametrize(("size", "scale"), [((20, 30), 1.0), ((8, 9), 0.5)])
def test_windows_equal_those_in_memory(files, mirrored, size, scale):
    corners = torch.randint(-40, 130, (3, 12, 2), generator=torch.Generator().manual_seed(0))
    found = opened(files, mirrored).windows(corners, size, scale)
    assert found.shape == (3, 12, 3, *size)
    for row, file in enumerate(files):
        expected = in_memory(file, mirrored[row]).windows(corners[row : row + 1], size, scale)
        torch.testing.assert_close(found[row : row + 1], expected)


@pytest.mark.parametrize("mirrored", [(False, False, False), (True, False, True)])
def test_overviews_equal_those_in_memory_and_smaller_ones_are_filled_up_with_0(files, mirrored):
    found = opened(files, mirrored).overview(0.5)
    assert found.shape == (3, 3, 45, 60)
    for row, file in enumerate(files):
        expected = in_memory(file, mirrored[row]).overview(0.5)[0]
        height, width = expected.shape[1:]
        assert (found[row, :, :height, :width] - expected).abs().max() < 1.5 / 255 / min(STD)
        assert found[row].abs().sum() == pytest.approx(found[row, :, :height, :width].abs().sum())


def test_some_of_the_pictures(files):
    pictures = opened(files, (True, False, True))
    assert pictures.sizes == list(SIZES)
    assert torch.equal(pictures[1:].overview(0.5)[1], pictures.overview(0.5)[2, :, :45, :60])
    assert len(pictures[:1]) == 1


def test_overviews_are_read_ahead_and_once(files):
    calls = []

    def opener():
        calls.append(1)
        return ArrayFile(files[0])

    pictures = ReadPictures([opener])
    pictures.expect(0.5)
    pictures.overview(0.5)
    pictures.overview(0.5)
    assert len(calls) == 1
    assert pictures.asked == {0.5}


def test_a_file_that_cannot_be_read_is_an_error_where_it_is_looked_at(files):
    files[1].write_bytes(files[1].read_bytes()[:500])
    with pytest.raises(DataError, match=r"1\.npy"):
        opened(files).overview(0.5)
    with pytest.raises(DataError, match=r"1\.npy"):
        opened(files).windows(torch.zeros(3, 1, 2, dtype=torch.int64), (4, 4))
