import numpy as np
import pytest
import torch

from foveate.errors import CheckpointError
from foveate.models.array_file import load_arrays
from foveate.models.weights import read_weights


class Harmful:
    def __reduce__(self):
        return pytest.fail, ("code of a file was run",)


def test_numbers_are_read_and_pickles_are_not(tmp_path):
    arrays = {"W": np.ones((2, 3), dtype=np.float32), "b": np.float64(1.5)}
    pickled = np.array([Harmful()], dtype=object)
    np.savez(tmp_path / "a.npz", **arrays, zipped_params=pickled, history_errs=pickled)
    found = read_weights(tmp_path / "a.npz")
    assert found.keys() == arrays.keys() and found["b"] == 1.5
    assert torch.equal(found["W"], torch.ones(2, 3))


def test_other_pickles_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", W=np.array([Harmful()], dtype=object))
    with pytest.raises(CheckpointError, match="pickled Python objects"):
        load_arrays(tmp_path / "a.npz")


def test_a_broken_file_is_told(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04nothing")
    with pytest.raises(CheckpointError, match="cannot be read as NumPy arrays"):
        read_weights(tmp_path / "a.npz")
