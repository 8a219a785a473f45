"""Checkpoints that survive being killed at any moment.

A checkpoint is a folder ``checkpoint/000000123`` (the number of steps) with ``model.safetensors``,
``training.pt`` and the checksums of both. It appears whole or not at all; only then is its predecessor
deleted. Readers take the highest number.
"""

from __future__ import annotations

import io
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from foveate.errors import CheckpointError, TrainingError
from foveate.files import PART, checksum, read_json, replacing, sweep, write_json
from foveate.tensor_file import WEIGHTS, load_tensors, save_tensors

TRAINING = "training.pt"
SUMS = "checksums.json"


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
            TrainingError: It cannot be written; the previous checkpoint is still there.
        """
        final = self.folder / f"{steps:09d}"
        if final.exists():  # a run that is repeated comes to the same state
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(final) as part:
                part.mkdir()
                save_tensors(weights, part / WEIGHTS)
                (part / TRAINING).write_bytes(_serialised(training))
                write_json(part / SUMS, {name: checksum(part / name) for name in (WEIGHTS, TRAINING)})
        except OSError as error:
            raise TrainingError(
                f"the checkpoint after step {steps} cannot be written to {self.folder}: {error}. Make "
                "room or choose "
                "another folder, then run the same command again: it resumes from the previous checkpoint."
            ) from error
        self._delete_all_but(final)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return weights and training state of the newest checkpoint, on the CPU; None if there is none.

        Raises:
            CheckpointError: The files are damaged.
        """
        sweep(self.folder)
        newest = self.newest()
        if newest is None:
            return None
        try:
            _expect_sound(newest)
            training = torch.load(newest / TRAINING, map_location="cpu", weights_only=True)
            return load_tensors(newest / WEIGHTS), training
        except pickle.UnpicklingError:  # its message suggests running the file's code
            why = f"{TRAINING} is damaged, or holds more than tensors and plain values"
        except Exception as error:
            why = str(error) or type(error).__name__
        raise CheckpointError(f"{newest} cannot be read ({why}). Delete {newest} to begin this run again.")

    def newest(self) -> Path | None:
        """Return the folder of the newest complete checkpoint."""
        complete = sorted(path for path in self.folder.glob("[0-9]*") if path.suffix != PART)
        return complete[-1] if complete else None

    def clear(self) -> None:
        """Delete every checkpoint: the run is done."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _delete_all_but(self, kept: Path) -> None:
        for path in self.folder.iterdir():
            if path != kept:
                shutil.rmtree(path, ignore_errors=True)


def _expect_sound(folder: Path) -> None:
    """Compare the files of a checkpoint with their checksums, which earlier versions did not write.

    Raises:
        CheckpointError: One is not what was written.
    """
    if not (folder / SUMS).is_file():
        return
    for name, stated in read_json(folder / SUMS, CheckpointError, "It is damaged.").items():
        if checksum(folder / name) != stated:
            raise CheckpointError(f"{name} is damaged: it is not what was written")


def _serialised(training: Mapping[str, object]) -> memoryview:
    """Return training state as bytes, so that a full disk or Ctrl-C leaves no partial archive."""
    buffer = io.BytesIO()
    torch.save(dict(training), buffer)
    return buffer.getbuffer()
