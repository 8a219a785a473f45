"""Find the image that a mask belongs to, by place and name.

A mask belongs to the image of the same name at the same place (``File.where``), apart from what marks it as
a mask (``name_words``); or to one whose name its own begins with; or whose name its folder has; or to one
above or below, if no other image has the name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from os.path import commonprefix

from foveate.data.folders.name_words import core, unmarked
from foveate.data.masks.found_files import SEPARATOR, File, Match
from foveate.errors import DataError


def matched(images: Sequence[File], masks: Sequence[File]) -> tuple[list[Match], list[File]]:
    """Return every mask that belongs to an image, with that image, and the masks left over."""
    left, found = list(masks), list[Match]()
    for ways in (_same_place, _nested, _other_place):
        for way in ways(images, left):
            tried = [(mask, way(mask)) for mask in left]
            found += [match for _, match in tried if match]
            left = [mask for mask, match in tried if not match]
            if not left:
                return found, left
    return found, left


_Way = Callable[[File], "Match | None"]
_Namer = Callable[[str], str]
_Known = Mapping[object, Sequence[File]]


def _without_splits(stem: str) -> str:
    return core(stem, splits=True)


# What the names of an image and of its mask have in common, the strictest first.
_NAMES: tuple[tuple[_Namer, _Namer], ...] = (
    (str, str),
    (str, unmarked),
    (core, core),
    (_without_splits,) * 2,
)


def _same_place(images: Sequence[File], masks: Sequence[File]) -> Iterator[_Way]:
    """Yield ways to find a mask's image at its own place: by its name, then by the beginning of its name."""
    for of_image, of_mask in _NAMES:
        known: dict[object, list[File]] = defaultdict(list)
        for image in images:
            known[image.where, of_image(image.stem)].append(image)

        def by_name(mask: File, known: _Known = known, of_mask: _Namer = of_mask) -> Match | None:
            return _only(mask, known.get((mask.where, of_mask(mask.stem)), ()))

        yield by_name
    stems = {(image.where, image.stem): image for image in images}

    def by_beginning(mask: File) -> Match | None:
        found = (stems.get((mask.where, stem)) for stem in _beginnings(mask.stem))
        return _only(mask, [image for image in found if image][:1])

    yield by_beginning


def _nested(images: Sequence[File], masks: Sequence[File]) -> Iterator[_Way]:
    """Yield the way to find the image of objects in a folder of their own: images/x.png, masks/x/1.png.

    Raises:
        DataError: the folders may be images or classes: both have the same names.
    """
    by_folder: dict[object, list[File]] = defaultdict(list)
    usable = [image for image in images if image.role == "image"]
    if _named_by_image(usable, masks):
        for image in usable:
            by_folder[image.split, (*image.place, image.stem)].append(image)
    for image in usable:
        if image.place and image not in by_folder[image.where]:
            by_folder[image.where].append(image)

    def step(mask: File) -> Match | None:
        match = _only(mask, by_folder.get(mask.where, ()))
        return match and replace(match, folder="", nested=True)

    yield step


def _named_by_image(images: Sequence[File], masks: Sequence[File]) -> bool:
    """Return whether masks lie in one folder per image, not in one folder per class."""
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
        f"{mask.path.parent.parent}: its folders and the files in them have the names of the images: is "
        f"{mask.path.parent.name} a class or an image? Rename the folders, for example to "
        f"class_{mask.path.parent.name}."
    )


def _other_place(images: Sequence[File], masks: Sequence[File]) -> Iterator[_Way]:
    """Yield ways to find a mask's image where one of the two lies deeper, or has no split."""
    usable = [image for image in images if image.role == "image"]
    for of_image, of_mask in _NAMES:
        known: dict[object, list[File]] = defaultdict(list)
        for image in usable:
            known[of_image(image.stem)].append(image)

        def by_name(mask: File, known: _Known = known, of_mask: _Namer = of_mask) -> Match | None:
            return _only(mask, [i for i in known.get(of_mask(mask.stem), ()) if _reachable(i, mask)])

        yield by_name
    stems: dict[str, list[File]] = defaultdict(list)
    for image in usable:
        stems[image.stem].append(image)

    def by_beginning(mask: File) -> Match | None:
        for stem in _beginnings(mask.stem):
            if match := _only(mask, [image for image in stems.get(stem, ()) if _reachable(image, mask)]):
                return match
        return None

    yield by_beginning


def _only(mask: File, images: Sequence[File]) -> Match | None:
    """Return the match of a mask with its image, if there is only one candidate."""
    if len(images) != 1:
        return None
    image = images[0]
    beyond = [folder for folder in mask.place if folder not in image.place]
    common = commonprefix([mask.stem, image.stem])  # noqa: RUF071  # letters are meant
    tail = mask.stem[len(common) :]
    return Match(image, mask, "/".join(beyond), tail.strip("_.- ()"))


def _beginnings(stem: str) -> Iterator[str]:
    """Yield the part of a name before each separator, the longest first."""
    yield from (stem[: cut.start()] for cut in reversed(list(SEPARATOR.finditer(stem))) if cut.start())


def _reachable(image: File, mask: File) -> bool:
    """Return whether one place is the other with further folders in between."""
    if image.split != mask.split and image.split is not None and mask.split is not None:
        return False
    short, long = sorted((image.place, mask.place), key=len)
    rest = iter(long)
    return all(folder in rest for folder in short)
