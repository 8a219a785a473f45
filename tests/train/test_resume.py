"""A run that is killed at any moment ends, once started again, with the weights of an undisturbed run."""

import random
import signal
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
import torch

from tests.child_processes import child_processes
from tests.train import killable


def _started(
    folder: Path, checkpoint_seconds: float, die_at: int = 0, begun: Event | None = None
) -> BaseProcess:
    process = child_processes.Process(
        target=killable.run, args=(str(folder), checkpoint_seconds, die_at, begun)
    )
    process.start()
    return process


def _finished(folder: Path) -> dict[str, torch.Tensor]:
    """Go on in this process, and return the weights."""
    killable.run(str(folder), checkpoint_seconds=0.0)
    return killable.weights(folder)


def _differing(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> list[str]:
    assert list(ours) == list(theirs)
    return [name for name in ours if not torch.equal(ours[name], theirs[name])]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    process = _started(folder, checkpoint_seconds=1e9)
    process.join()
    assert process.exitcode == 0
    return killable.weights(folder)


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param(range(8, 18), marks=pytest.mark.slow, id="one checkpoint and the next"),
        pytest.param(range(1, 24), marks=pytest.mark.nightly, id="three checkpoints"),
    ],
)
def test_killed_at_every_dealing_with_the_disk(moments, undisturbed, tmp_path):
    """Between writes and within: half a file, before a sync, before and after a rename, in clearing up."""
    outcomes = []
    for die_at in moments:
        folder = tmp_path / str(die_at)
        process = _started(folder, checkpoint_seconds=0.0, die_at=die_at)
        process.join()
        outcomes.append(process.exitcode)
        assert _differing(_finished(folder), undisturbed) == [], f"killed at disk operation {die_at}"
    assert outcomes == [-9] * len(outcomes), "every one of these runs was to be killed"


@pytest.mark.slow
def test_killed_again_and_again_at_random_moments(undisturbed, tmp_path):
    rng = random.Random(0)
    kills = 0
    for trial in range(2):
        folder = tmp_path / str(trial)
        for _ in range(6):
            begun = child_processes.Event()
            process = _started(folder, checkpoint_seconds=0.02, begun=begun)
            while not begun.wait(timeout=0.02) and process.is_alive():
                pass  # a run that is done has nothing to begin
            process.join(timeout=rng.uniform(0.0, 0.06))
            process.kill()
            process.join()
            kills += process.exitcode == -signal.SIGKILL
        assert _differing(_finished(folder), undisturbed) == [], f"trial {trial} after {kills} kills"
        assert not (folder / "checkpoint").exists()
    assert kills >= 6


@pytest.mark.slow
def test_killed_in_the_last_moments(undisturbed, tmp_path):
    """Killed while the result is written: the marker never stands beside weights that are not its own."""
    for die_at in range(1, 7):
        folder = tmp_path / str(die_at)
        process = _started(folder, checkpoint_seconds=1e9, die_at=die_at)
        process.join()
        assert _differing(_finished(folder), undisturbed) == [], f"killed at disk operation {die_at}"
