"""A run in a process of its own, which can be told to kill itself at its n-th dealing with the disk."""

import os
import shutil
import signal
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

import foveate.tensor_file as tensor_module
from foveate.tasks import tasks
from foveate.train import TrainConfig, fit
from foveate.train.progress import Silent
from tests.train.train_samples import feeds, small

CONFIG = TrainConfig(epochs=6, batch_size=8, lr=3e-3, accumulate=2, ema=0.9, warmup=0.2)


class Telling(Silent):
    """Tells another process that the run has begun."""

    def __init__(self, begun: Event | None) -> None:
        self.begun = begun

    def begin(self, name: str, steps: int, done: int = 0) -> None:
        if self.begun is not None:
            self.begun.set()


def run(folder: str, checkpoint_seconds: float, die_at: int = 0, begun: Event | None = None) -> None:
    """Train, or go on training, in ``folder``; be killed at the ``die_at``-th dealing with the disk."""
    torch.set_num_threads(1)
    if die_at:
        _die_at(die_at)
    fit(
        small(),
        tasks["classification"](),
        feeds(),
        CONFIG,
        Path(folder),
        checkpoint_seconds=checkpoint_seconds,
        progress=Telling(begun),
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def _die_at(number: int) -> None:
    left = [number]

    def deadly(function: Callable[..., Any], half: Callable[..., None] | None = None) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                if half is not None:
                    half(*args)
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return wrapped

    tensor_module.save_file = deadly(tensor_module.save_file, lambda _, path: Path(path).write_bytes(b"half"))
    torch.save = deadly(torch.save, lambda _, file: (file.write(b"half"), file.flush()))
    os.fsync = deadly(os.fsync)
    Path.rename = deadly(Path.rename)  # type: ignore[method-assign]
    Path.replace = deadly(Path.replace)  # type: ignore[method-assign]
    shutil.rmtree = deadly(shutil.rmtree)  # type: ignore[assignment]
