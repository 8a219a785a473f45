"""What a model is made of that its name does not say: its file of weights, the code of its modules."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from torch import nn

from foveate.errors import CheckpointError

_VERSIONED = ("foveate", "torch", "torchvision", "timm")  # known by their versions


def sources(name: str, model: nn.Module, weights: str | Path | None) -> dict[str, str]:
    """Return hashes by which another sitting knows that it works with the same model.

    Args:
        name: What ``create_model`` was asked for.
        model: What it returned.
        weights: The file of weights that it started from, if any.

    Returns:
        ``weights`` if there is such a file; ``code`` if modules come from somewhere else than the usual
        packages.

    Raises:
        CheckpointError: The file cannot be read.
    """
    found = {} if weights is None else {"weights": _of_file(Path(weights))}
    modules = {type(module).__module__ for module in model.modules()}
    modules |= {name.partition(":")[0].strip()} if ":" in name.partition("(")[0] else set()
    foreign = sorted(m for m in modules if m.partition(".")[0] not in _VERSIONED)
    files = [file for file in map(_file_of, foreign) if file is not None]
    if files:
        found["code"] = hashlib.sha256("".join(map(_of_file, files)).encode()).hexdigest()
    return found


def _file_of(module: str) -> Path | None:
    """Return where the code of a module lies; None for what was typed, as in a notebook."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return Path(file) if file and Path(file).is_file() else None


def _of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}). Name another file.") from None
