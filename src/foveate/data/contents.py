"""Hashes of contents, so that equal data is known again wherever it lies."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from foveate.data.base import Split
from foveate.errors import DataError


def hash_files(files: Sequence[Path]) -> list[str]:
    """Return the hash of each file's bytes.

    Raises:
        DataError: a file cannot be opened.
    """
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return list(pool.map(_hash_file, files, chunksize=256))


def hash_splits(
    classes: Sequence[str], splits: Mapping[str, Split], contents: Mapping[str, Sequence[str]]
) -> str:
    """Return one fingerprint of names, labels and contents of all splits.

    Args:
        classes: Class names.
        splits: The splits.
        contents: For each split, a hash of each item.
    """
    total = hashlib.sha256("\0".join(classes).encode())
    for name in sorted(splits):
        split = splits[name]
        total.update(f"\n{name} {len(split)}".encode())
        for item, target, content in zip(split.names, split.targets.tolist(), contents[name], strict=True):
            total.update(f"\n{item}\0{target}\0{content}".encode(errors="surrogateescape"))
    return total.hexdigest()


def _hash_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()[:32]
    except OSError as error:
        raise DataError(
            f"{path}: cannot be opened ({error.strerror}). Remove it, or give leave to read it."
        ) from None
