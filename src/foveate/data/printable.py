"""Names that can be printed and stored as UTF-8."""

from __future__ import annotations

_LOW, _HIGH = 0xD800, 0xDFFF  # surrogates, which UTF-8 cannot encode
_BYTES = range(0xDC80, 0xDD00)  # surrogates for bytes that are not UTF-8
_BYTE = 0xDC00


def printable(name: str) -> str:
    r"""Return a name with escapes for bytes that are not UTF-8 and for lone surrogates.

    Example:
        >>> print(printable("caf\udce9"))
        caf\xe9
    """
    return "".join(_written(letter) if _LOW <= ord(letter) <= _HIGH else letter for letter in name)


def _written(half: str) -> str:
    code = ord(half)
    return f"\\x{code - _BYTE:02x}" if code in _BYTES else f"\\u{code:04x}"
