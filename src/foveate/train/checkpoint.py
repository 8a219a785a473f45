"""Checkpoints that survive being killed at any moment.

A checkpoint is a folder ``checkpoint/000000123`` (the number of steps) with ``model.safetensors`` and
``training.pt``. It is written under another name, forced to the disk, and then renamed, which happens at once
or not at all; only then is the one before it deleted. Whoever reads takes the highest number.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from foveate.errors import CheckpointError, TrainingError

WEIGHTS = "model.safetensors"
TRAINING = "training.pt"
_UNFINISHED = ".part"


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: The run's folder; they lie in ``folder/checkpoint``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkpoint"

    def save(self, steps: int, weights: Mapping[str, Tensor], training: Mapping[str, object]) -> None:
        """Write the state after ``steps`` steps, then delete older ones.

        Raises:
            TrainingError: The disk does not take it; the checkpoint before is still there.
        """
        final = self.folder / f"{steps:09d}"
        if final.exists():  # a run that is repeated comes to the same state
            return
        part = final.with_suffix(_UNFINISHED)
        try:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            save_weights(weights, part / WEIGHTS)
            _save_training(training, part / TRAINING)
            _sync(part)
            part.rename(final)
            _sync(self.folder)
        except OSError as error:
            shutil.rmtree(part, ignore_errors=True)
            raise TrainingError(
                f"the checkpoint after step {steps} cannot be written to {self.folder}: {error}. Make "
                "room or choose "
                "another folder, then run the same command again: it goes on from the checkpoint before."
            ) from error
        self._delete_all_but(final)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return weights and training state of the newest checkpoint, on the CPU; None if there is none.

        Raises:
            CheckpointError: The files are damaged.
        """
        newest = self.newest()
        if newest is None:
            return None
        try:
            return load_file(newest / WEIGHTS), torch.load(
                newest / TRAINING, map_location="cpu", weights_only=True
            )
        except Exception as error:
            raise CheckpointError(
                f"{newest} cannot be read ({type(error).__name__}: {error}). Delete "
                f"{self.folder.parent} to begin "
                "this run anew."
            ) from error

    def newest(self) -> Path | None:
        """Return the folder of the newest complete checkpoint."""
        complete = sorted(path for path in self.folder.glob("[0-9]*") if path.suffix != _UNFINISHED)
        return complete[-1] if complete else None

    def clear(self) -> None:
        """Delete every checkpoint: the run is done."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _delete_all_but(self, kept: Path) -> None:
        for path in self.folder.iterdir():
            if path != kept:
                shutil.rmtree(path, ignore_errors=True)


def save_weights(
    weights: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write weights as safetensors, in place of an older file at once or not at all.

    Tensors that share memory are written once for each name, so that any reader finds every key.

    Raises:
        OSError: The disk does not take it.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    plain = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    seen: set[int] = set()
    for name, value in plain.items():
        if value.untyped_storage().data_ptr() in seen:
            plain[name] = value.clone()
        seen.add(value.untyped_storage().data_ptr())
    try:
        save_file(plain, temporary, metadata={"format": "pt", **(metadata or {})})
    except Exception as error:  # safetensors has an exception of its own for what the disk says
        temporary.unlink(missing_ok=True)
        raise OSError(str(error)) from error
    _sync(temporary)
    temporary.replace(path)


def _save_training(training: Mapping[str, object], path: Path) -> None:
    with path.open("wb") as file:
        torch.save(dict(training), file)
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    """Force a file or a folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
