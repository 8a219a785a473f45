"""Recognise a folder of images and masks: what belongs together, and in which split.

``roles`` tells images from masks, ``match`` and ``pairs`` bring them together. The split comes from folders,
lists, or file names. Official splits are never mixed: one without masks is left out, and if only train has
masks, train is cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from foveate.data.folders.name_words import split_named
from foveate.data.folders.tree import Tree, held
from foveate.data.masks.found_files import OUTLINES, File, Files, Pair
from foveate.data.masks.lists import listed, split_lists
from foveate.data.masks.match import matched
from foveate.data.masks.pairs import check_names_differ, paired
from foveate.data.masks.roles import Named, files_by_role
from foveate.errors import DataError, first_few
from foveate.quantities import agreeing


@dataclass(frozen=True)
class Pairs:
    """What a folder of images and masks holds.

    Args:
        root: The folder that the layout starts at.
        pairs: Images with masks.
        bare: Images without a mask, in splits where others have one.
        spare: Masks without an image.
        notes: What was decided or left out by default.
    """

    root: Path
    pairs: tuple[Pair, ...]
    bare: tuple[Path, ...]
    spare: tuple[Path, ...]
    notes: tuple[str, ...] = ()

    @property
    def outlined(self) -> bool:
        """Whether the masks are text files of outlines."""
        return any(file.suffix.lower() == OUTLINES for pair in self.pairs for file in pair.masks)


def find_pairs(
    tree: Tree, *, images: str | None = None, masks: str | None = None, inside: str | None = None
) -> Pairs | None:
    """Return the images and masks of a folder, or None if it does not hold such.

    Args:
        tree: The folder.
        images: Name of the folders of images, if it is not a usual one; or the path to one.
        masks: Likewise of masks.
        inside: Likewise of masks of where to look, 0 outside.

    Raises:
        DataError: several folders might hold the masks, several files might be the mask of one image, a
            list is wrong, or there is no folder called ``images``, ``masks`` or ``inside``.
    """
    named = Named(images, masks, inside)
    tree = tree if images or masks else _voc(tree)
    files = files_by_role(tree, named)
    if files is None:
        if images or masks:
            raise DataError(
                f"{tree.path}: no folders {images or 'images'} and {masks or 'masks'}. {held(tree)}"
            )
        return None
    check_names_differ(files.images)
    check_names_differ(files.masks)
    matches, spare = matched(files.images, files.masks)
    found = paired(files.images, matches)
    if not found.pairs:
        if images is None and files.images[0].role is None:  # no other sign of masks than a folder's name
            return None
        pictures = first_few(file.path.name for file in files.images)
        others = first_few(file.path.name for file in spare)
        raise DataError(
            f"{tree.path}: no mask has the name of an image: images are called {pictures}, masks {others}. "
            "Name them alike (x.jpg and x.png, or x_mask.png), or give a table of path,mask."
        )
    pairs, bare, more = _in_splits(tree, found.pairs, found.bare)
    notes = [*files.notes, *found.notes, *more]
    if OUTLINES in {file.suffix.lower() for pair in pairs for file in pair.masks} and bare:
        notes.append(
            agreeing(len(bare), "{n} [image has|images have] no text file, or an empty one: all background")
        )
        pairs = [*pairs, *(Pair(file.path, (), _split_of(file, pairs)) for file in bare)]
        bare = []
    within, inside_notes = _within(tree, pairs, files, inside)
    return Pairs(
        tree.path,
        tuple(within),
        tuple(file.path for file in bare),
        tuple(file.path for file in spare),
        (*notes, *inside_notes),
    )


def _in_splits(
    tree: Tree, pairs: Sequence[Pair], bare: Sequence[File]
) -> tuple[list[Pair], list[File], list[str]]:
    """Return the pairs with their splits, the images without masks beside them, and notes."""
    if all(pair.split is None for pair in pairs):
        pairs, bare = _by_list(tree, pairs, bare)
    notes = []
    masked = {pair.split for pair in pairs}
    for split, count in Counter(file.split for file in bare).items():
        if split not in masked:
            notes.append(
                agreeing(
                    count,
                    "the {n} [image|images] of {split} [has no mask and is|have no masks and are] left out",
                    split=split,
                )
            )
    bare = [file for file in bare if file.split in masked]
    return list(pairs), list(bare), notes


def _by_list(
    tree: Tree, pairs: Sequence[Pair], bare: Sequence[File]
) -> tuple[Sequence[Pair], Sequence[File]]:
    """Return the pairs in the splits that lists state, or else that all file names state."""
    lists = split_lists(tree)
    images = [*(pair.image for pair in pairs), *(file.path for file in bare)]
    if lists:
        splits = listed(lists, images)
    else:
        words = {image: split for image in images if (split := _split_in(image.stem))}
        splits = words if len(words) == len(images) and len(set(words.values())) > 1 else {}
    if not splits:
        return pairs, bare
    return (
        [replace(pair, split=splits[pair.image]) for pair in pairs if pair.image in splits],
        [replace(file, split=splits[file.path]) for file in bare if file.path in splits],
    )


def _split_in(stem: str) -> str | None:
    """Return the split that a file's name begins or ends with: ``test_07``, ``21_training``."""
    pieces = stem.replace("-", "_").split("_")
    return split_named(pieces[0]) or split_named(pieces[-1])


def _within(
    tree: Tree, pairs: Sequence[Pair], files: Files, inside: str | None
) -> tuple[Sequence[Pair], list[str]]:
    """Return the pairs with their masks of where to look, if those are wanted; else a note on them."""
    if not files.inside:
        return pairs, []
    folder = files.inside[0].path.parent
    if inside is None:
        name = files.inside[0].kind
        return pairs, [f'the folder {name} is not used; ignore_outside="{name}" ignores what is 0 there']
    wanted = {pair.image for pair in pairs}
    matches, _ = matched([file for file in files.images if file.path in wanted], files.inside)
    found = {match.image.path: match.mask.path for match in matches}
    lost = [pair.image for pair in pairs if pair.image not in found]
    if lost:
        raise DataError(
            f"{folder}: has nothing for {first_few(path.name for path in lost)}. Add it, or leave "
            "ignore_outside out."
        )
    return [replace(pair, inside=found[pair.image]) for pair in pairs], []


def _voc(tree: Tree) -> Tree:
    """Return the folder that holds JPEGImages, where it is inside ``VOCdevkit/VOC2012``."""
    if {"JPEGImages", "SegmentationClass"} <= set(tree.folders):
        return tree
    inner = [f for n, f in tree.folders.items() if n == "VOCdevkit" or n.startswith("VOC20")]
    found = [_voc(folder) for folder in inner]
    return next((folder for folder in found if "JPEGImages" in folder.folders), tree)


def _split_of(file: File, pairs: Sequence[Pair]) -> str | None:
    return file.split if any(pair.split for pair in pairs) else None
