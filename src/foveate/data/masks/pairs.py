"""Pair images with their masks, one or several each.

A mask belongs to the image of the same name at the same place (``roles.File.where``), whatever marks it as a mask
(``stems``). Several masks of one image are renderings of one truth (Cityscapes), of which one is chosen; or one
for each class (``masks/road/x.png``, ``x_road.png``); or one for each object (``masks/x/1.png``, ``x_mask_1.png``).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from os.path import commonprefix
from pathlib import Path

from foveate.data.folder_names import meaning
from foveate.data.masks.roles import File, Files
from foveate.data.masks.stems import core, unmarked
from foveate.errors import DataError

OBJECT = ""  # the label of a layer that is one object among many
_RENDERINGS = ("labeltrainids", "labelids", "1stho", "ah")  # of one truth, the best first
_USELESS = set("instanceids instance instances 2ndho vk overlay edge edges boundary panoptic color colour".split())
_RATERS = re.compile(r"rater|annotator|observer|reader|expert", re.IGNORECASE)
_CUT = re.compile(r"[_.\- (]+")


@dataclass(frozen=True)
class Pair:
    """An image with its mask.

    Args:
        image: The image file.
        masks: Its mask's, or one for each class or object that it shows.
        split: train, val or test, or None if the folder does not say.
        labels: The class of each mask file, ``OBJECT`` for objects; empty if one file holds the whole mask.
        inside: A mask that says where to look, if it is wanted.
    """

    image: Path
    masks: tuple[Path, ...]
    split: str | None
    labels: tuple[str, ...] = ()
    inside: Path | None = None


@dataclass(frozen=True)
class _Match:
    """A mask with its image, and what its place and name have beyond those of the image."""

    image: File
    mask: File
    folder: str
    tail: str
    nested: bool = False


@dataclass(frozen=True)
class Matches:
    """Images with all their masks, and what is left over.

    Args:
        pairs: Images with masks.
        bare: Images without a mask.
        spare: Masks without an image.
        notes: What has been decided without being asked.
    """

    pairs: tuple[Pair, ...]
    bare: tuple[File, ...]
    spare: tuple[File, ...]
    notes: tuple[str, ...] = ()


def paired(files: Files) -> Matches:
    """Return images with their masks.

    Raises:
        DataError: two files have the same name but for the ending, or nothing tells which of several masks of an
            image is meant.
    """
    _check_once(files.images)
    _check_once(files.masks)
    matches, spare = _matched(files.images, files.masks)
    chosen, labels, notes = _meant(matches)
    masks: dict[Path, list[_Match]] = defaultdict(list)
    for match in chosen:
        masks[match.image.path].append(match)
    pairs = []
    for image in files.images:
        if own := masks.get(image.path):
            files_of = tuple(match.mask.path for match in own)
            split = image.split or own[0].mask.split
            pairs.append(Pair(image.path, files_of, split, tuple(map(labels, own)) if labels else ()))
    bare = tuple(image for image in files.images if image.path not in masks)
    return Matches(tuple(pairs), bare, tuple(spare), tuple(notes))


def with_inside(pairs: Sequence[Pair], files: Files) -> dict[Path, Path]:
    """Return for each image the mask that says where to look."""
    wanted = {pair.image for pair in pairs}
    matches, _ = _matched([file for file in files.images if file.path in wanted], files.inside)
    return {match.image.path: match.mask.path for match in matches}


def _matched(images: Sequence[File], masks: Sequence[File]) -> tuple[list[_Match], list[File]]:
    """Return every mask that belongs to an image, with it, and the other masks."""
    left, found = list(masks), list[_Match]()
    for ways in (_same_place, _nested, _other_place):
        for way in ways(images, left):
            matches = {mask.path: match for mask in left if (match := way(mask))}
            found += matches.values()
            left = [mask for mask in left if mask.path not in matches]
    return found, left


_Step = Callable[[File], "_Match | None"]
_NAMES: tuple[tuple[Callable[[str], str], Callable[[str], str]], ...] = (
    (str, str),
    (str, unmarked),
    (core, core),
    (lambda stem: core(stem, splits=True), lambda stem: core(stem, splits=True)),
)


def _same_place(images: Sequence[File], masks: Sequence[File]) -> Iterator[_Step]:  # noqa: ARG001
    """Yield ways to find a mask's image at its own place: by its name, then by the beginning of its name."""
    for of_image, of_mask in _NAMES:
        by_name: dict[object, list[File]] = defaultdict(list)
        for image in images:
            by_name[image.where, of_image(image.stem)].append(image)
        yield lambda mask, known=by_name, name=of_mask: _only(mask, known.get((mask.where, name(mask.stem)), ()))
    by_stem = {(image.where, image.stem): image for image in images}
    yield lambda mask: _only(mask, [i for s in _beginnings(mask.stem) if (i := by_stem.get((mask.where, s)))][:1])


def _nested(images: Sequence[File], masks: Sequence[File]) -> Iterator[_Step]:
    """Yield the way to find the image of objects in a folder of their own: images/x.png, masks/x/1.png.

    Raises:
        DataError: the folders may be images or classes: both are called alike.
    """
    by_folder: dict[object, list[File]] = defaultdict(list)
    usable = [image for image in images if image.role == "image"]
    if _named_by_image(usable, masks):
        for image in usable:
            by_folder[image.split, (*image.place, image.stem)].append(image)
    for image in usable:
        if image.place and image not in by_folder[image.where]:
            by_folder[image.where].append(image)

    def step(mask: File) -> _Match | None:
        match = _only(mask, by_folder.get(mask.where, ()))
        return match and replace(match, folder="", nested=True)

    yield step


def _named_by_image(images: Sequence[File], masks: Sequence[File]) -> bool:
    """Tell whether masks lie in one folder an image, rather than one folder a class."""
    stems = {(image.split, *image.place, image.stem) for image in images}
    folders = {(mask.split, *mask.place) for mask in masks if mask.place}
    if not folders or not folders <= stems or 2 * len(folders) < len(stems):
        return False
    inside = {(mask.split, *mask.place[:-1], mask.stem) for mask in masks if mask.place}
    if not stems <= inside:
        return True
    if folders != stems:
        return False
    mask = masks[0]
    raise DataError(
        f"{mask.path.parent.parent}: its folders are called as the images are, and so are the files in them: is "
        f"{mask.path.parent.name} a class or an image? Rename the folders, such as class_{mask.path.parent.name}."
    )


def _other_place(images: Sequence[File], masks: Sequence[File]) -> Iterator[_Step]:  # noqa: ARG001
    """Yield ways to find a mask's image where one of them lies in further folders, or only one states its split."""
    usable = [image for image in images if image.role == "image"]
    for of_image, of_mask in _NAMES:
        by_name: dict[str, list[File]] = defaultdict(list)
        for image in usable:
            by_name[of_image(image.stem)].append(image)
        yield lambda mask, known=by_name, name=of_mask: _only(
            mask, [image for image in known.get(name(mask.stem), ()) if _reachable(image, mask)]
        )
    by_stem: dict[str, list[File]] = defaultdict(list)
    for image in usable:
        by_stem[image.stem].append(image)
    yield lambda mask: next(
        (
            match
            for stem in _beginnings(mask.stem)
            if (match := _only(mask, [image for image in by_stem.get(stem, ()) if _reachable(image, mask)]))
        ),
        None,
    )


def _only(mask: File, images: Sequence[File]) -> _Match | None:
    """Return the match of a mask and the only image that it may belong to."""
    if len(images) != 1:
        return None
    image = images[0]
    beyond = [folder for folder in mask.place if folder not in image.place]
    tail = mask.stem[len(commonprefix([mask.stem, image.stem])) :]
    return _Match(image, mask, "/".join(beyond), tail.strip("_.- ()"))


def _beginnings(stem: str) -> Iterator[str]:
    """Yield what stands before each separator in a name, the longest first."""
    yield from (stem[: cut.start()] for cut in reversed(list(_CUT.finditer(stem))) if cut.start())


def _reachable(image: File, mask: File) -> bool:
    """Tell whether one place is the other with further folders in between."""
    if image.split != mask.split and image.split is not None and mask.split is not None:
        return False
    short, long = sorted((image.place, mask.place), key=len)
    rest = iter(long)
    return all(folder in rest for folder in short)


def _meant(matches: list[_Match]) -> tuple[list[_Match], Callable[[_Match], str] | None, list[str]]:
    """Return the masks that are meant, what tells their classes if one image may have several, and notes."""
    useful = [match for match in matches if not _USELESS & _pieces(match.tail)] or matches
    for word in _RENDERINGS:
        best = [match for match in useful if word in _pieces(match.tail)]
        if best:
            useful = best
            break
    notes = []
    if len(useful) < len(matches) and useful:
        notes = [f"masks are the files called ...{useful[0].tail}; other files of the same images are not used"]
    folders = {match.folder for match in useful}
    classes = len(folders) > 1 and "" not in folders
    if not _several(useful) and not classes and not any(match.nested for match in useful):
        return useful, None, notes
    _check_clear(useful)
    return useful, _labels(useful), notes


def _several(matches: Iterable[_Match]) -> bool:
    return max(Counter(match.image.path for match in matches).values(), default=0) > 1


def _labels(matches: list[_Match]) -> Callable[[_Match], str]:
    """Return what tells the class of one of several masks of an image: its folder, its name, or nothing."""
    if any(match.nested for match in matches):
        return lambda match: OBJECT
    if len({match.folder for match in matches}) > 1:
        return lambda match: match.folder
    tails = {_tail(match) for match in matches}
    if all(tail and not re.search(r"\d", tail) for tail in tails):
        return _tail
    return lambda match: OBJECT


def _check_clear(matches: list[_Match]) -> None:
    """Refuse several masks of one image that are neither classes nor numbered objects.

    Raises:
        DataError: such are there.
    """
    seen: dict[object, _Match] = {}
    words = {tail for match in matches if (tail := _tail(match)) and not re.search(r"\d", tail)}
    bare = any(not _tail(match) for match in matches)
    for match in matches:
        twice = match.nested is False and (match.image.path, match.folder, _tail(match)) in seen
        seen[match.image.path, match.folder, _tail(match)] = match
        if twice or (words and bare) or _RATERS.search(f"{match.folder} {match.tail}"):
            own = [other.mask.path for other in matches if other.image.path == match.image.path]
            names = ", ".join("/".join(path.parts[-2:]) for path in own[:4])
            raise DataError(
                f"{match.image.path}: several files might be its mask: {names}. Keep one, or say which folder is "
                f'meant: masks="{own[0].parent.name}" (--masks {own[0].parent.name} on the command line).'
            )


def _tail(match: _Match) -> str:
    """Return what a mask's name has beyond its image's, without words that only say that it is a mask."""
    return " ".join(piece for piece in _CUT.split(match.tail) if piece and not _says_mask(piece))


def _pieces(tail: str) -> set[str]:
    return set(_CUT.split(tail.lower()))


def _says_mask(tail: str) -> bool:
    says = meaning(tail)
    return says.role == "mask" and not says.rest


def _check_once(files: Sequence[File]) -> None:
    """Refuse x.jpg beside x.png."""
    seen: dict[object, File] = {}
    for file in files:
        other = seen.setdefault((file.path.parent, file.stem), file)
        if other is not file:
            raise DataError(
                f"{other.path} and {file.path.name} have the same name but for its end. Keep one of them."
            )
