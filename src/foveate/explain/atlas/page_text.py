"""Bytes as text that survives inside a page: seven bits a character, an eighth longer than the bytes.

Base64 would make them a third longer. Of the 128 codes, three have a meaning in HTML or are changed by its
parser (NUL, carriage return, "<"); these become À, Á and Â. The text is for a ``<script type="text/plain">``
of a page in UTF-8, where all other codes stay what they are.
"""

from __future__ import annotations

import numpy as np

REPLACED = {0: "À", 13: "Á", 60: "Â"}
_TABLE = bytes(ord(REPLACED.get(code, chr(code))) for code in range(256))


def as_text(data: bytes) -> str:
    r"""Return bytes as text for a page; the reader has to know how many bytes there were.

    Example:
        >>> as_text(b"\xff\x00") == "\x7f@À"
        True
    """
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    sevens = np.pad(bits, (0, -len(bits) % 7)).reshape(-1, 7)
    codes = np.packbits(sevens, axis=1)[:, 0] >> 1
    return codes.tobytes().translate(_TABLE).decode("latin-1")
