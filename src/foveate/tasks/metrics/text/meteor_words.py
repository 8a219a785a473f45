"""Words as METEOR 1.5 normalises them (``-norm``, English), and its function words.

Rules   every character that is neither a digit nor a Latin or Cyrillic letter becomes a word of its own,
        apart from . ' ` , - and curly quotation marks; a comma stays between digits; a hyphen between letters
        or digits becomes a space; an apostrophe between letters starts a new word; a dot at the end of a word
        is split off unless the word is an abbreviation or the next one has a small letter; u.s. becomes us.
"""

from __future__ import annotations

import re

FUNCTION_WORDS = frozenset(
    """
    the , . to of and a in that for " is on 's it with was as said at he by be from have has are his but
    an this not i will ’ they ) -rrb- ( -lrb- who their had we which were been more or s its would about
    new one after you : also up when there than $ all out her people she year two - can if last first “
    over other ” into some what so -- no time years could ? 't — '
    """.split()
)
"""Words that count less; of METEOR 1.5 (LGPL), as are the prefixes."""

PREFIXES = frozenset(
    """
    A B C D E F G H I J K L M N O P Q R S T U V W X Y Z Adj Adm Adv Asst Bart Bldg Brig Bros Capt Cmdr
    Col Comdr Con Corp Cpl DR Dr Drs Ens Gen Gov Hon Hr Hosp Insp Lt MM MR MRS MS Maj Messrs Mlle Mme Mr
    Mrs Ms Msgr Op Ord Pfc Ph Prof Pvt Rep Reps Res Rev Rt Sen Sens Sfc Sgt Sr St Supt Surg v vs i.e rev
    e.g Nos Nr
    """.split()
)
"""Abbreviations: what their dot ends is not a sentence."""

NUMBERED = frozenset({"No", "Art", "pp"})
"""Abbreviations in front of a number."""

_ALNUM = "A-Za-z0-9\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u017e\u0400-\u0527\u1d02-\u1d7f"  # Latin and Cyrillic
_ALPHA = _ALNUM.replace("0-9", "")
_STEPS = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (rf"([^{_ALNUM}\s.'`,\-–—’“”‘])", r" \1 "),
        (r"\.{2,}", r" \g<0> "),
        (r"(?<!\d),|,(?!\d)", " , "),
        (r"[`‘’]", "'"),
        (r"''|[“”]", ' " '),
        (r"[–—]", " - "),
        (r"--+", "-"),
        (rf"([.{_ALNUM}])-([{_ALNUM}])", r"\1 \2"),  # of x-x-x only the first, as in the original
        (rf"(?<![{_ALNUM}])'|'(?![{_ALPHA}])", " ' "),
        (rf"([{_ALPHA}]|\d(?='s))'([{_ALPHA}])", r"\1 '\2"),
    )
)
_LETTER = re.compile(f"[{_ALPHA}]")


def meteor_words(text: str) -> list[str]:
    """Return the words that METEOR compares.

    Example:
        >>> meteor_words("a t-shirt does n't fit in the u.s. team , no. 7")
        ['a', 't', 'shirt', 'does', 'n', "'t", 'fit', 'in', 'the', 'us', 'team', ',', 'no', '.', '7']
    """
    for pattern, replacement in _STEPS:
        text = pattern.sub(replacement, text)
    words = text.split()
    found: list[str] = []
    for word, following in zip(words, [*words, ""][1:], strict=True):
        found.extend(_dotted(word, following))
    return " ".join(found).lower().split()


def _dotted(word: str, following: str) -> list[str]:
    """Return a word with the dot at its end removed, kept or split off."""
    if not word.endswith(".") or not word.strip("."):
        return [word]
    stem = word[:-1]
    if "." in stem and _LETTER.search(stem):
        return [word.replace(".", "")]
    if stem in PREFIXES or (following[:1].islower()) or (stem in NUMBERED and following[:1].isdigit()):
        return [word]
    return [stem, "."]
