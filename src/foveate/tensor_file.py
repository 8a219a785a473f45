"""Files of tensors by name (safetensors) that carry a checksum: damage is found when they are read, not used.

The checksum covers names, types, shapes and bytes, and is in the file's header. Files written by others have
none and are read unchecked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from foveate.errors import CheckpointError
from foveate.files import replacing

WEIGHTS = "model.safetensors"  # of a trained model, in its folder
SUM = "sha256"


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> str:
    """Write tensors to a file, whole or not at all, and return their checksum; an older file is replaced.

    Tensors that share memory are written once per name, so that any reader finds every key.

    Args:
        tensors: On any device.
        path: The file.
        metadata: More entries for the header.

    Raises:
        OSError: It cannot be written.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    seen: set[int] = set()
    for name, value in plain.items():
        if value.untyped_storage().data_ptr() in seen:
            plain[name] = value.clone()
        seen.add(value.untyped_storage().data_ptr())
    digest = tensor_sum(plain)
    with replacing(path) as part:
        part.touch()
        mode = part.stat().st_mode  # of any new file; safetensors lets nobody else read its own
        try:
            save_file(plain, part, metadata={"format": "pt", **(metadata or {}), SUM: digest})
        except Exception as error:  # safetensors wraps the errors of the disk in its own
            raise OSError(str(error)) from error
        _settle(part)
        part.chmod(mode)
    return digest


def _settle(path: Path) -> None:
    """Sort the entries of a file's header, which safetensors writes in a different order each time."""
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) <= length:  # padded with blanks, as the format allows
            file.seek(8)
            file.write(text.ljust(length))


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file, on the CPU; see ``read_tensors``."""
    return read_tensors(path)[0]


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the header of a file.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: It is damaged, or not a safetensors file.
    """
    if not path.exists():
        raise FileNotFoundError(2, "there is no such file", str(path))
    if not path.is_file():
        raise CheckpointError(f"{path} cannot be read: it is not a regular file")
    try:
        with safe_open(path, framework="pt") as file:
            header: dict[str, str] = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # no mapping
    except Exception as error:  # safetensors has several
        raise CheckpointError(f"{path} cannot be read as a safetensors file ({error})") from None
    stated = header.get(SUM)
    if stated is not None and stated != tensor_sum(tensors):
        raise CheckpointError(
            f"{path} is damaged: its tensors are not those that were written. Use an intact copy."
        )
    return tensors, header


def tensor_sum(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of tensors on the CPU with their names, in hexadecimal."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name]
        total.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        if value.numel():
            total.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
