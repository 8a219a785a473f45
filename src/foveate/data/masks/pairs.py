"""Pair images with their masks, one or several each.

Several masks of one image are renderings of the same labels (Cityscapes), of which one is chosen; or one for
each class (``masks/road/x.png``, ``x_road.png``); or one for each object (``masks/x/1.png``,
``x_mask_1.png``).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from foveate.data.folders.name_words import meaning
from foveate.data.masks.found_files import OBJECT, SEPARATOR, File, Match, Pair
from foveate.errors import DataError

_RENDERINGS = ("labeltrainids", "labelids", "1stho", "ah")  # of the same labels, the best first
_USELESS = set(
    "instanceids instance instances 2ndho vk overlay edge edges boundary panoptic color colour".split()
)
_RATERS = re.compile(r"rater|annotator|observer|reader|expert", re.IGNORECASE)


@dataclass(frozen=True)
class Pairing:
    """Images with all their masks, and images without.

    Args:
        pairs: Images with masks.
        bare: Images without a mask.
        notes: What was decided by default.
    """

    pairs: tuple[Pair, ...]
    bare: tuple[File, ...]
    notes: tuple[str, ...] = ()


def paired(images: Sequence[File], matches: list[Match]) -> Pairing:
    """Return images with their masks.

    Args:
        images: All images.
        matches: Every mask that belongs to one of them.

    Raises:
        DataError: it is ambiguous which of several masks of an image is meant.
    """
    chosen, labels, notes = _meant(matches)
    masks: dict[Path, list[Match]] = defaultdict(list)
    for match in chosen:
        masks[match.image.path].append(match)
    pairs = []
    for image in images:
        if own := masks.get(image.path):
            files_of = tuple(match.mask.path for match in own)
            split = image.split or own[0].mask.split
            pairs.append(Pair(image.path, files_of, split, tuple(map(labels, own)) if labels else ()))
    bare = tuple(image for image in images if image.path not in masks)
    return Pairing(tuple(pairs), bare, tuple(notes))


def _meant(matches: list[Match]) -> tuple[list[Match], Callable[[Match], str] | None, list[str]]:
    """Return the masks that are meant, how to get a mask's class if an image may have several, and notes."""
    useful = [match for match in matches if not _USELESS & _pieces(match.tail)] or matches
    for word in _RENDERINGS:
        best = [match for match in useful if word in _pieces(match.tail)]
        if best:
            useful = best
            break
    notes = []
    if len(useful) < len(matches) and useful:
        notes = [
            f"masks are the files called ...{useful[0].tail}; other files of the same images are not used"
        ]
    folders = {match.folder for match in useful}
    classes = len(folders) > 1 and "" not in folders
    if not _several(useful) and not classes and not any(match.nested for match in useful):
        return useful, None, notes
    _check_clear(useful)
    return useful, _labels(useful), notes


def _several(matches: Iterable[Match]) -> bool:
    return max(Counter(match.image.path for match in matches).values(), default=0) > 1


def _labels(matches: list[Match]) -> Callable[[Match], str]:
    """Return how to get the class of one of several masks of an image: by folder, by name, or not at all."""
    if any(match.nested for match in matches):
        return lambda match: OBJECT
    folders = {match.folder for match in matches}
    if len(folders) > 1:
        short = len({folder.split("/")[-1] for folder in folders}) == len(folders)
        return lambda match: match.folder.split("/")[-1] if short else match.folder
    tails = {_tail(match) for match in matches}
    if all(tail and not re.search(r"\d", tail) for tail in tails):
        return _tail
    return lambda match: OBJECT


def _check_clear(matches: list[Match]) -> None:
    """Refuse several masks of one image that are neither classes nor numbered objects.

    Raises:
        DataError: there are such masks.
    """
    seen: dict[object, Match] = {}
    words = {tail for match in matches if (tail := _tail(match)) and not re.search(r"\d", tail)}
    bare = any(not _tail(match) for match in matches)
    for match in matches:
        twice = match.nested is False and (match.image.path, match.folder, _tail(match)) in seen
        seen[match.image.path, match.folder, _tail(match)] = match
        if twice or (words and bare) or _RATERS.search(f"{match.folder} {match.tail}"):
            own = [other.mask.path for other in matches if other.image.path == match.image.path]
            names = ", ".join("/".join(path.parts[-2:]) for path in own[:4])
            raise DataError(
                f"{match.image.path}: several files might be its mask: {names}. Keep one, or say which "
                f'folder is meant: masks="{own[0].parent.name}" (--masks {own[0].parent.name} on the '
                "command line)."
            )


def _tail(match: Match) -> str:
    """Return what a mask's name adds to its image's, without words that only mark it as a mask."""
    return " ".join(piece for piece in SEPARATOR.split(match.tail) if piece and not _says_mask(piece))


def _pieces(tail: str) -> set[str]:
    return set(SEPARATOR.split(tail.lower()))


def _says_mask(tail: str) -> bool:
    says = meaning(tail)
    return says.role == "mask" and not says.rest


def check_names_differ(files: Sequence[File]) -> None:
    """Refuse x.jpg beside x.png.

    Raises:
        DataError: two files in one folder differ in their ending alone.
    """
    seen: dict[object, File] = {}
    for file in files:
        other = seen.setdefault((file.path.parent, file.stem), file)
        if other is not file:
            raise DataError(
                f"{other.path} and {file.path.name} differ in their ending alone. Keep one of them."
            )
