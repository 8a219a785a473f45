"""What a model's name does not show: its file of weights, and the code of its modules."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from torch import nn

from foveate.errors import CheckpointError
from foveate.files import checksum

_VERSIONED = ("foveate", "torch", "torchvision", "timm")  # identified by their versions


def sources(name: str, model: nn.Module, weights: str | Path | None) -> dict[str, str]:
    """Return hashes by which a later session recognises the same model.

    Args:
        name: The name passed to ``create_model``.
        model: The model that it returned.
        weights: The file of weights that the model started from, if any.

    Returns:
        ``weights`` if there is such a file; ``code`` if modules come from elsewhere than the usual packages.

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
    """Return the file of a module; None for code typed in a session, such as a notebook."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return Path(file) if file and Path(file).is_file() else None


def _of_file(path: Path) -> str:
    try:
        return checksum(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}). Name another file.") from None
