"""What a run keeps of its test items: every kind of answer comes back, and a damaged file is noticed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from foveate.compare.run_files import ANSWERS, answers, keep_answers, run_folder

ARRAYS = arrays.arrays(
    dtype=st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_]),
    shape=arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
LEAVES = PLAIN | ARRAYS
ANSWER = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def same(one: Any, other: Any) -> bool:
    """Return whether two answers are equal, arrays to the bit and with their types."""
    if isinstance(one, np.ndarray):
        return (
            isinstance(other, np.ndarray)
            and (one.dtype, one.shape) == (other.dtype, other.shape)
            and one.tobytes() == other.tobytes()
        )
    if isinstance(one, dict):
        return isinstance(other, dict) and [*one] == [*other] and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def kept(folder: Path, records: np.ndarray, given_: Any) -> Any:
    path = run_folder(folder, "se@blocks", 3) / ANSWERS
    path.parent.mkdir(parents=True, exist_ok=True)
    keep_answers(path, records, given_)
    return answers(folder, "se@blocks", 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("answers")


@settings(max_examples=25)
@given(records=ARRAYS, given_=ARRAYS | st.lists(ANSWER, max_size=4))
def test_answers_come_back_as_they_were_kept(records: np.ndarray, given_: Any, folder: Path):
    found = kept(folder, records, given_)
    assert found is not None
    assert same(records, found[0]) and same(given_, found[1])


@pytest.mark.parametrize(
    "every", [31, pytest.param(4, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.nightly)]
)
@pytest.mark.parametrize("given_", [np.arange(6.0).reshape(2, 3), ["a cat", {"box": np.arange(4)}]])
def test_of_a_damaged_file_nothing_or_all_is_read(folder: Path, given_: Any, every: int):
    """Cut short or changed at every so many of its bytes."""
    records = np.arange(4.0).reshape(2, 2)
    kept(folder, records, given_)
    path = run_folder(folder, "se@blocks", 3) / ANSWERS
    whole = path.read_bytes()

    def read(content: bytes) -> Any:
        path.write_bytes(content)
        return answers(folder, "se@blocks", 3)

    assert all(read(whole[:end]) is None for end in range(0, len(whole), every))
    for place in range(0, len(whole), every):  # a byte that does not matter, such as of a date, loses nothing
        for value in (0, whole[place] ^ 1, whole[place] ^ 6, 255):
            found = read(whole[:place] + bytes([value]) + whole[place + 1 :])
            assert found is None or (same(found[0], records) and same(found[1], given_)), place
    path.unlink()
    assert answers(folder, "se@blocks", 3) is None


def test_every_variant_has_a_folder_of_its_own(tmp_path: Path):
    names = ["se@blocks", "se@Blocks", "a/b", "a_b", "a b", "..", "x" * 100, "x" * 101, "é"]
    folders = [run_folder(tmp_path, name, 0) for name in names]
    assert len(set(folders)) == len(names)
    assert all(folder.parent.parent == tmp_path / "runs" for folder in folders)
