"""Files appear whole or not at all, and what a killed process leaves goes with the next start."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from foveate import files
from foveate.errors import CheckpointError, DataError
from foveate.files import read_json, replacing, sweep, write_bytes, write_json
from foveate.tensor_file import load_tensors, save_tensors

HALF = """
import os, sys, signal
from pathlib import Path
from foveate.files import replacing
with replacing(Path(sys.argv[1])) as part:
    part.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device"), SystemExit])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_does_not_end_well_leaves_the_old_file_and_nothing_else(tmp_path, error, kind):
    write_bytes(tmp_path / "a", b"old")
    with (
        pytest.raises(type(error) if isinstance(error, OSError) else error),
        replacing(tmp_path / "a") as part,
    ):
        part.mkdir() if kind == "folder" else part.write_bytes(b"half")
        raise error
    assert left(tmp_path) == ["a"] and (tmp_path / "a").read_bytes() == b"old"


def test_a_killed_writer_leaves_a_part_that_the_next_start_removes(tmp_path):
    write_bytes(tmp_path / "a", b"old")
    killed = subprocess.run([sys.executable, "-c", HALF, str(tmp_path / "a")], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(left(tmp_path)) == 2 and (tmp_path / "a").read_bytes() == b"old"
    sweep(tmp_path)
    assert left(tmp_path) == ["a"]


def test_what_a_living_process_or_somebody_else_writes_is_left_alone(tmp_path, monkeypatch):
    with replacing(tmp_path / "mine") as part:
        part.write_bytes(b"half")
        theirs = [
            f".a.1.{files._here()}-{os.getppid()}.part",
            "film.mkv.part",
            ".x.part",
            ".a.1.0badcafe-1.part",
        ]
        for name in theirs:
            (tmp_path / name).touch()
        sweep(tmp_path)
        assert left(tmp_path) == sorted([*theirs, part.name])
        os.utime(tmp_path / theirs[-1], (1.0, 1.0))  # of another machine, days ago
        sweep(tmp_path)
        assert left(tmp_path) == sorted([*theirs[:-1], part.name])


def test_threads_that_write_one_file_do_not_disturb_each_other(tmp_path):
    def write(thread):
        for _ in range(20):
            write_bytes(tmp_path / "a", bytes([thread]) * 1000)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert left(tmp_path) == ["a"] and len(set((tmp_path / "a").read_bytes())) == 1


def test_a_name_as_long_as_the_disk_takes_can_be_written(tmp_path):
    write_bytes(tmp_path / ("n" * 255), b"x")
    assert left(tmp_path) == ["n" * 255]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000 + b"]" * 100_000, None],
    ids=["empty", "cut", "latin", "deep", "fifo"],
)
def test_what_is_not_json_is_told_with_advice(tmp_path, content):
    path = tmp_path / "a.json"
    os.mkfifo(path) if content is None else path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.json: cannot be read as JSON.*Do this\."):
        read_json(path, DataError, "Do this.")


def test_names_in_no_encoding_are_written(tmp_path):
    write_json(tmp_path / "a.json", {"name": "\udcff"})
    assert read_json(tmp_path / "a.json", DataError, "") == {"name": "\udcff"}


TENSORS = {
    "a": torch.arange(6.0).reshape(2, 3),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "none": torch.zeros(0, 2),
    "one": torch.tensor(5),
}


def test_tensors_come_back_and_no_flipped_bit_is_used(tmp_path):
    path = tmp_path / "w.safetensors"
    save_tensors(TENSORS, path)
    found = load_tensors(path)
    assert all(torch.equal(found[name], value) for name, value in TENSORS.items())
    whole = path.read_bytes()
    for _ in range(5):  # one content, one file
        save_tensors(TENSORS, path, {"more": "words", "and": "more"})
        first = path.read_bytes()
        save_tensors(TENSORS, path, {"and": "more", "more": "words"})
        assert path.read_bytes() == first
    path.write_bytes(whole)
    for place in range(len(whole) - 40, len(whole)):  # the tensors stand at the end, 38 bytes of them
        flipped = bytearray(whole)
        flipped[place] ^= 1
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError, match=r"damaged|cannot be read"):
            load_tensors(path)


@pytest.mark.parametrize("place", range(0, 200, 7))
def test_a_damaged_header_is_told_or_harmless(tmp_path, place):
    path = tmp_path / "w.safetensors"
    save_tensors(TENSORS, path)
    whole = bytearray(path.read_bytes())
    whole[place] ^= 8
    path.write_bytes(whole)
    try:
        found = load_tensors(path)
    except CheckpointError:
        return
    assert all(torch.equal(found[name], value) for name, value in TENSORS.items())
