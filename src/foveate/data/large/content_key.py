"""What tells one file of a large picture from another, without reading all of it.

Of a file of up to 64 MiB every byte counts; of a larger one its length, its first and last blocks, and blocks
evenly spread between them: 64 of 64 KiB in all.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from foveate.data.images.levels import SIXTEEN
from foveate.data.images.open_image import Reading
from foveate.errors import DataError

WHOLE, BLOCKS, BLOCK = 2**26, 64, 2**16


def content_key(path: Path, how: Reading) -> str:
    """Return a hash of a file and of how it is read.

    Raises:
        DataError: It cannot be opened.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if size <= WHOLE:
                found = hashlib.file_digest(file, "blake2b")
            else:
                found = hashlib.new("blake2b", str(size).encode())
                for number in range(BLOCKS):
                    file.seek((size - BLOCK) * number // (BLOCKS - 1))
                    found.update(file.read(BLOCK))
    except OSError as error:
        raise DataError(
            f"{path}: cannot be opened ({error.strerror}). Delete it or grant read permission."
        ) from None
    levels = "" if how.levels == SIXTEEN else f" {how.levels}"
    return f"{found.hexdigest()[:32]}{levels}"
