"""What can be wrong with the characters of a text, such as traces of encodings that were mixed up."""

from __future__ import annotations

import re

_REPLACED = "\ufffd".encode()
# Control characters, marks that change the direction of text, and characters of no width; not the tab.
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
# Two bytes of UTF-8, or three that are punctuation, each read as a character of Windows-1252 or Latin-1.
_BEHIND = "[\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]"
_QUOTES = "[“”‘’»›]"  # which may follow a letter that is meant: only inside a word are they a trace
_PAIR = rf"[ÂÃÄÅ](?:(?!{_QUOTES}){_BEHIND}|(?<=\w.){_QUOTES}|{_QUOTES}(?=\w))"
_MIXED = re.compile(f"{_PAIR}|â€{_BEHIND}|â\x80{_BEHIND}")


def text_faults(text: str, raw: bytes | None = None) -> tuple[str, ...]:
    r"""Return the kinds of faults in a text.

    Args:
        text: The text, with U+FFFD for bytes that are not UTF-8.
        raw: The bytes that it was read from, if they are known.

    Returns:
        Of "bad_utf8", "replacement_character", "mojibake" and "control_character".

    Example:
        >>> text_faults("MÃ¼ller"), text_faults("Müller"), text_faults("a\x07b")
        (('mojibake',), (), ('control_character',))
    """
    if text.isascii() and text.isprintable():
        return ()
    found = []
    if "\ufffd" in text:
        bad = raw is not None and raw.count(_REPLACED) < text.count("\ufffd")
        found.append("bad_utf8" if bad else "replacement_character")
    mixed = [piece for piece in _MIXED.findall(text) if _is_mixed(piece)]
    if mixed:
        found.append("mojibake")
    rest = text
    for piece in mixed:
        rest = rest.replace(piece, "")
    if _CONTROL.search(rest):
        found.append("control_character")
    return tuple(found)


def _is_mixed(piece: str) -> bool:
    """Return whether characters are the bytes of a letter or mark in UTF-8."""
    for encoding in ("cp1252", "latin-1"):
        try:
            meant = piece.encode(encoding).decode()
        except UnicodeError:
            continue
        return piece[0] in "Ââ" or meant.isalpha()
    return False
