"""Compare the names of images and masks: what marks a file as one or the other does not count."""

from __future__ import annotations

import re
from functools import cache

from foveate.data.folders.folder_names import meaning

_ALSO = {
    "mask": "l seg labelids labeltrainids color instanceids 1stho 2ndho ah vk",
    "image": "leftimg8bit sat orig 0000",  # nnU-Net's channel 0000
}
_SEPARATOR = re.compile(r"[_.\- ()]+")
_END = re.compile(
    r"[_.\- ]+(?:masks?|labels?|lbl|gt|seg|segmentation|annot|anno|annotation|groundtruth|L|1stHO|2ndHO|ah|vk"
    r"|gtFine_labelIds)(?:[_\- ]?\d{1,3})?$",
    re.IGNORECASE,
)
_COUNTED = re.compile(r"([a-z]+)\d+")


def unmarked(stem: str) -> str:
    """Return a mask's name without what marks it at its end: ``_mask``, ``_gt``, ``_L``, ``_mask_2``."""
    return _END.sub("", stem)


def is_weak(stem: str) -> bool:
    """Tell a name whose end is a rater's or ``_L``, which may as well mean the left eye."""
    return re.search(r"[_.\- ](?:l|ah|vk)$", stem, re.IGNORECASE) is not None


def core(stem: str, *, splits: bool = False) -> str:
    """Return a name without the words for images and masks, wherever they stand, and in lower case.

    Args:
        stem: The name.
        splits: Whether words for splits are left out too.

    Example:
        >>> core("img_007"), core("mask_007"), core("21_training", splits=True), core("21_manual1")
        ('007', '007', '21', '21')
    """
    pieces = [piece for piece in _SEPARATOR.split(stem.lower()) if piece]
    kept = [bare for place, piece in enumerate(pieces) if (bare := _bare(piece, place == 0, splits))]
    return " ".join(kept)


def without_split(name: str) -> str:
    """Return a folder's name without the words for splits."""
    return " ".join(piece for piece in _SEPARATOR.split(name) if piece and meaning(piece).split is None)


def _bare(piece: str, first: bool, splits: bool) -> str:
    """Return a piece of a name, the number alone of a first one like img007, or "" if it only marks."""
    counted = _COUNTED.fullmatch(piece)
    if counted and _marks(counted[1], splits):
        return piece.removeprefix(counted[1]) if first else ""
    return "" if _marks(piece, splits) else piece


@cache
def _marks(word: str, splits: bool) -> bool:
    if any(word in words.split() for words in _ALSO.values()):
        return True
    says = meaning(word)
    known = says.role in ("image", "mask", "objects") or (splits and says.split is not None)
    return known and not says.rest
