"""What the name of a folder, list or file says: its split, and whether it holds images or masks.

A name is split into words at separators, capitals and numbers; words that are written as one
(``trainannot``) are taken apart. Words that the table does not know are the ``rest``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal

Role = Literal["image", "mask", "inside", "objects", "other"]
_TABLE = {
    "train": "train training trn",
    "val": "val valid validate validation dev eval evaluation",
    "test": "test testing tst",
    "image": "image img im picture photo original input rgb jpegimages sat leftimg8bit",
    "mask": "mask label lbl labelmap annotation annot anno gt gtfine gtcoarse truth groundtruth segmentation "
    "segmentationclass seg target manual vessel trimap",
    "inside": "fov roi",  # masks that say where to look
    "objects": "instance object panoptic",  # masks that number objects
    "other": "overlay overlaid prediction pred preds depth edge boundary skeleton 2nd second colorized vis",
    "": "set data dataset folder dir split file class list name id ids part task the of "
    "png jpg jpeg tif tiff bmp gif raw stage ground binary",  # means nothing
}
_WEAK = {
    "tr": "train",
    "te": "test",
    "ts": "test",
    "holdout": "test",
}  # only beside the name of another split
_SPLITS = ("train", "val", "test")
_STRENGTH = ("other", "objects", "inside", "mask", "image")  # what a name with several of these words means
_WORD = re.compile(r"\d+(?:st|nd|rd|th)(?![a-z])|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+")
_LETTER = re.compile(r"\s*(?:\d+|[A-Za-z])[.)]\s+")  # "a. Training Set", "1. Original Images"
_MEANING = {word: meaning for meaning, words in _TABLE.items() for word in words.split()}
_GLUED = re.compile(f"(?:{'|'.join(sorted((w for w in _MEANING if len(w) > 1), key=len, reverse=True))})+s?")
_TAKEN_APART = re.compile(f"{'|'.join(sorted((w for w in _MEANING if len(w) > 1), key=len, reverse=True))}")
_LONG = 6  # letters of a word that is taken apart; shorter ones ("trim") are words of their own
_MARKS_TOO = {
    "mask": "l seg labelids labeltrainids color instanceids 1stho 2ndho ah vk",
    "image": "leftimg8bit sat orig 0000",  # nnU-Net's channel 0000
}
_BETWEEN = re.compile(r"[_.\- ()]+")
_END = re.compile(
    r"[_.\- ]+(?:masks?|labels?|lbl|gt|seg|segmentation|annot|anno|annotation|groundtruth|L|1stHO|2ndHO|ah|vk"
    r"|gtFine_labelIds)(?:[_\- ]?\d{1,3})?$",
    re.IGNORECASE,
)
_COUNTED = re.compile(r"([a-z]+)\d+")


@dataclass(frozen=True)
class Meaning:
    """What a name says.

    Args:
        split: "train", "val", "test", "trainval" for the first two together, or None.
        role: What files it holds, or None.
        rest: Its unknown words, lower case; without numbers if another word means something.
        sure: Whether the split is certain: no word of the name is unknown.
    """

    split: str | None
    role: Role | None
    rest: tuple[str, ...]
    sure: bool


@cache
def meaning(name: str) -> Meaning:
    """Return what a name says.

    Example:
        >>> meaning("TrainDataset").split, meaning("01_test").split, meaning("train_masks").role
        ('train', 'test', 'mask')
        >>> meaning("seg_train").sure, meaning("bullet_train").sure, meaning("bullet_train").rest
        (True, False, ('bullet',))
    """
    splits, roles, rest, numbers, sure = set[str](), set[str](), list[str](), list[str](), True
    for word in _words(name):
        known = _known(word)
        if known in _SPLITS:
            splits.add(known)
            sure &= word in _MEANING
        elif known is None:
            (numbers if word.isdecimal() else rest).append(word)
        elif known:
            roles.add(known)
    split = "trainval" if splits == {"train", "val"} else splits.pop() if len(splits) == 1 else None
    role = next((role for role in _STRENGTH if role in roles), None)
    if split is None and role is None:
        return Meaning(None, None, tuple(rest + numbers), False)
    return Meaning(split, role, tuple(rest), sure and not rest)  # type: ignore[arg-type]


def split_named(name: str) -> str | None:
    """Return the split that a word such as ``Training`` or ``val2017`` clearly means, or None."""
    found = meaning(name)
    return found.split if found.sure and found.split in _SPLITS else None


def sibling_splits(names: Iterable[str]) -> dict[str, str]:
    """Return the split of each sibling name that means one.

    A name with a split's word and unknown words (``bullet_train``) means a split only if another name
    differs from it in that word alone (``bullet_test``).

    Example:
        >>> sibling_splits(["DUTS-TR", "DUTS-TE", "readme"])
        {'DUTS-TR': 'train', 'DUTS-TE': 'test'}
        >>> sibling_splits(["bus", "steam_train"])
        {}
    """
    found = {name: means for name in names if (means := meaning(name)).split}
    said: dict[tuple[str, ...], set[str]] = {}
    for means in found.values():
        said.setdefault(means.rest, set()).add(str(means.split))
    splits = {
        name: str(means.split) for name, means in found.items() if means.sure or len(said[means.rest]) > 1
    }
    whole = {name for name, split in splits.items() if split == "trainval"}
    if {"train", "val"} & set(splits.values()):  # trainval repeats the others
        return {name: split for name, split in splits.items() if name not in whole}
    return {name: "train" if name in whole else split for name, split in splits.items()}


def _words(name: str) -> list[str]:
    whole = name.lower()
    if whole in _MEANING:
        return [whole]
    found: list[str] = []
    for piece in _WORD.findall(_LETTER.sub("", name, count=1)):
        word = piece.lower()
        parts = _TAKEN_APART.findall(word)
        glued = _known(word) is None and len(word) >= _LONG and _GLUED.fullmatch(word)
        found += parts if glued else [word]
    return found


def _known(word: str) -> str | None:
    """Return what a word means, singular or plural; None if it is unknown."""
    if word in _MEANING:
        return _MEANING[word]
    if word in _WEAK:
        return _WEAK[word]
    if re.fullmatch(r"\d+(?:st|rd|th)", word):
        return ""
    return _MEANING.get(word.removesuffix("s")) if word.endswith("s") else None


def unmarked(stem: str) -> str:
    """Return a mask's name without the suffix that marks it: ``_mask``, ``_gt``, ``_L``, ``_mask_2``."""
    return _END.sub("", stem)


def is_weak(stem: str) -> bool:
    """Return whether a name ends in a rater's initials or ``_L``, which may also mean the left eye."""
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
    pieces = [piece for piece in _BETWEEN.split(stem.lower()) if piece]
    kept = [bare for place, piece in enumerate(pieces) if (bare := _bare(piece, place == 0, splits))]
    return " ".join(kept)


def without_split(name: str) -> str:
    """Return a folder's name without the words for splits."""
    return " ".join(piece for piece in _BETWEEN.split(name) if piece and meaning(piece).split is None)


def _bare(piece: str, first: bool, splits: bool) -> str:
    """Return a piece of a name; of a first piece like img007 the number; "" for a marker."""
    counted = _COUNTED.fullmatch(piece)
    if counted and _marks(counted[1], splits):
        return piece.removeprefix(counted[1]) if first else ""
    return "" if _marks(piece, splits) else piece


@cache
def _marks(word: str, splits: bool) -> bool:
    if any(word in words.split() for words in _MARKS_TOO.values()):
        return True
    says = meaning(word)
    known = says.role in ("image", "mask", "objects") or (splits and says.split is not None)
    return known and not says.rest
