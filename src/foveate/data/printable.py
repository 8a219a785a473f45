"""Names that every terminal, table and report can hold."""

from __future__ import annotations

_LOW, _HIGH = 0xD800, 0xDFFF  # halves of characters, which no file in UTF-8 can hold
_BYTES = range(0xDC80, 0xDD00)  # those that stand for bytes which are not UTF-8
_BYTE = 0xDC00


def printable(name: str) -> str:
    r"""Return a name with escapes for bytes that are not UTF-8, and for lone halves of characters.

    Example:
        >>> print(printable("caf\udce9"))
        caf\xe9
    """
    return "".join(_written(letter) if _LOW <= ord(letter) <= _HIGH else letter for letter in name)


def _written(half: str) -> str:
    code = ord(half)
    return f"\\x{code - _BYTE:02x}" if code in _BYTES else f"\\u{code:04x}"
