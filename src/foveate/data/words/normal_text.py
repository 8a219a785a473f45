"""What is done to every text before it is split, and undone by nothing.

Unicode is composed (NFC), so that an accented letter is one character however it was typed; white space of
any kind becomes single spaces; on request capitals become small letters.
"""

from __future__ import annotations

import unicodedata


def normal(text: str, *, lower: bool = False) -> str:
    """Return a text in its normal form.

    Args:
        text: Any text.
        lower: Whether capitals become small letters.

    Example:
        >>> normal(" Zwei  Ma\u0308nner ")
        'Zwei Männer'
    """
    text = unicodedata.normalize("NFC", text.lower() if lower else text)
    return " ".join(text.split())


def normal_facts(lower: bool) -> str:
    """Return in words what ``normal`` does."""
    return "NFC, lower-cased" if lower else "NFC"
