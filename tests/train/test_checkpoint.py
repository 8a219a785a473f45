import pytest
import torch
from safetensors.torch import load_file

from foveate.errors import CheckpointError, TrainingError
from foveate.tensor_file import save_tensors
from foveate.train.checkpoint import Checkpoints

WEIGHTS = {"a": torch.arange(24.0).reshape(1, 2, 3, 4).contiguous(memory_format=torch.channels_last)}


def test_the_newest_complete_one_counts(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.load() is None
    for steps in (9, 10, 100):
        checkpoints.save(steps, WEIGHTS, {"steps": steps})
        assert [p.name for p in checkpoints.folder.iterdir()] == [f"{steps:09d}"]  # the one before is gone
    (checkpoints.folder / "000000200.part").mkdir()
    weights, training = checkpoints.load()
    assert training == {"steps": 100}
    assert torch.equal(weights["a"], WEIGHTS["a"])


def test_two_left_by_a_kill_between_renaming_and_deleting(tmp_path):
    Checkpoints(tmp_path / "one").save(5, WEIGHTS, {"steps": 5})
    Checkpoints(tmp_path / "two").save(6, WEIGHTS, {"steps": 6})
    (tmp_path / "two/checkpoint/000000006").rename(tmp_path / "one/checkpoint/000000006")
    assert Checkpoints(tmp_path / "one").load()[1] == {"steps": 6}


@pytest.mark.parametrize("file", ["model.safetensors", "training.pt"])
def test_a_damaged_file_is_told(tmp_path, file):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(3, WEIGHTS, {"steps": 3})
    (checkpoints.folder / "000000003" / file).write_bytes(b"half")
    with pytest.raises(CheckpointError, match=r"000000003 cannot be read.*Delete .*000000003 to begin"):
        checkpoints.load()


def test_training_state_holds_nothing_that_must_be_executed(tmp_path):
    """weights_only refuses anything but tensors and plain values: what is written must pass it."""
    state = {"optimizer": {"state": {0: {"m": torch.ones(2)}}}, "history": [{"epoch": 0, "score": None}]}
    Checkpoints(tmp_path).save(1, WEIGHTS, state)
    assert Checkpoints(tmp_path).load()[1]["history"] == state["history"]


def test_weights_that_share_memory_are_found_under_every_name(tmp_path):
    shared = torch.ones(3)
    save_tensors(
        {"a": shared, "b": shared, "c": torch.zeros(0), "d": torch.zeros(0)}, tmp_path / "w.safetensors"
    )
    found = load_file(tmp_path / "w.safetensors")
    assert sorted(found) == ["a", "b", "c", "d"]
    assert torch.equal(found["a"], found["b"])


def test_weights_that_cannot_be_written_leave_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "w.safetensors"
    save_tensors({"a": torch.ones(2)}, file)
    monkeypatch.setattr("foveate.tensor_file.save_file", _full)
    with pytest.raises(OSError, match="No space"):
        save_tensors({"a": torch.zeros(2)}, file)
    assert torch.equal(load_file(file)["a"], torch.ones(2))
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("what", ["foveate.tensor_file.save_file", "torch.save", "os.fsync"])
def test_what_stops_a_checkpoint_leaves_the_one_before_and_nothing_else(tmp_path, monkeypatch, what, error):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(3, WEIGHTS, {"steps": 3})

    def stop(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(what, stop)
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else TrainingError):
        checkpoints.save(4, WEIGHTS, {"steps": 4})
    monkeypatch.undo()
    assert [p.name for p in checkpoints.folder.iterdir()] == ["000000003"]
    assert checkpoints.load()[1] == {"steps": 3}


@pytest.mark.parametrize("file", ["model.safetensors", "training.pt", "checksums.json"])
def test_a_flipped_bit_is_found(tmp_path, file):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(3, WEIGHTS, {"steps": 3, "optimizer": torch.ones(100)})
    path = checkpoints.folder / "000000003" / file
    stored = bytearray(path.read_bytes())
    stored[-30] ^= 1
    path.write_bytes(stored)
    with pytest.raises(CheckpointError, match=r"000000003 cannot be read.*Delete .*000000003"):
        checkpoints.load()


def _full(tensors: object, path: object, metadata: object) -> None:
    raise OSError("No space left on device")
