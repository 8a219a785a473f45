"""Files truncated at their very end, which decoders accept: PNG and GIF mark where they end.

All pixels may be there, but something else is missing.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

_PNG_HEAD, _PNG_FRAME = 8, 12  # bytes of the signature; of a chunk's length, name and checksum
_GIF_HEAD, _GIF_IMAGE = 13, 10  # bytes of the header with the screen; of an image descriptor
_EXTENSION, _IMAGE, _END = b"!", b",", b";"
_TABLE = 0x80  # a bit: a colour table follows


def is_cut(file: BinaryIO, form: str | None) -> bool:
    """Return whether a file ends before its format's end marker."""
    if form == "PNG":
        return not _png_ends(file)
    return form == "GIF" and not _gif_ends(file)


def _png_ends(file: BinaryIO) -> bool:
    """Follow the chunks; return whether the last one is complete."""
    length, place = os.fstat(file.fileno()).st_size, _PNG_HEAD
    while place + _PNG_FRAME <= length:
        file.seek(place)
        size, name = struct.unpack(">I4s", file.read(8))
        place += _PNG_FRAME + size
        if name == b"IEND":
            return place <= length
    return False


def _gif_ends(file: BinaryIO) -> bool:
    """Follow the blocks to the end marker."""
    file.seek(0)
    head = file.read(_GIF_HEAD)
    file.seek(_table(head[10]), os.SEEK_CUR)
    while (mark := file.read(1)) != _END:
        if mark == _EXTENSION:
            file.read(1)
        elif mark == _IMAGE:
            described = file.read(_GIF_IMAGE - 1)
            if len(described) < _GIF_IMAGE - 1:
                return False
            file.seek(_table(described[8]) + 1, os.SEEK_CUR)  # the table, and the size of codes
        else:
            return False
        if not _blocks_end(file):
            return False
    return True


def _table(flags: int) -> int:
    """Return the bytes of a colour table."""
    return 3 << ((flags & 7) + 1) if flags & _TABLE else 0


def _blocks_end(file: BinaryIO) -> bool:
    """Follow sub-blocks to the empty one that ends them."""
    while size := file.read(1):
        if size == b"\0":
            return True
        file.seek(size[0], os.SEEK_CUR)
    return False
