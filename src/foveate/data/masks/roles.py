"""Which files below a folder are images and which are masks, by the names of their folders and their own.

The innermost folder whose name says so decides (``folder_names`` has the words). Where no folder does,
``x_mask.png`` and ``x.txt`` beside ``x.jpg`` are masks.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from foveate.data.folders.name_words import (
    Role,
    core,
    is_weak,
    meaning,
    sibling_splits,
    unmarked,
    without_split,
)
from foveate.data.folders.tree import Tree, held, is_image, scan, stem_of
from foveate.data.masks.found_files import OUTLINES, File, Files
from foveate.data.masks.looks_like_mask import look_like_masks
from foveate.data.masks.outline_text import is_outline_file
from foveate.data.masks.raw import ARRAYS
from foveate.errors import DataError, first_few
from foveate.quantities import agreeing

_LOOKED_AT = 20  # text files beside images, until one is not empty
_FOLD = re.compile(r"(?:fold|cv|split|run|k)[ _-]?\d+$", re.IGNORECASE)
# Of two kinds of masks, the better one. Beside manual masks, "mask" is the field of view (DRIVE).
_BETTER = {"gtcoarse": "gtfine", "mask": "manual"}


@dataclass(frozen=True)
class Named:
    """Folders that the user names, by name or by path.

    Args:
        images: Of images, or None.
        masks: Of masks, or None.
        inside: Of masks of where to look, or None.
    """

    images: str | None = None
    masks: str | None = None
    inside: str | None = None

    def role(self, root: Path, folder: Path) -> Role | None:
        """Return what a folder holds according to the user."""
        roles: dict[Role, str | None] = {"inside": self.inside, "mask": self.masks, "image": self.images}
        return next((role for role, name in roles.items() if name and _is_called(root, folder, name)), None)


def files_by_role(tree: Tree, named: Named) -> Files | None:
    """Return images and masks, or None if the folder does not hold both.

    Raises:
        DataError: several folders might hold the masks, or there is no folder of a name that was given.
    """
    found = [*_files(tree, tree.path, named)]
    for role, name in (("image", named.images), ("mask", named.masks), ("inside", named.inside)):
        found += _from_elsewhere(tree, named, role, name)  # type: ignore[arg-type]
    roles = {
        role: [file for file in found if file.role == role] for role in ("image", "mask", "inside", None)
    }
    _check_named(tree, named, roles)
    masks, view, notes = _one_kind(tree, [f for f in roles["mask"] if _may_be_mask(f.path)])
    inside = [*roles["inside"], *view] if named.inside is None else roles["inside"]
    images = [f for f in roles["image"] if is_image(f.path.name)]
    images = images or [f for f in roles[None] if is_image(f.path.name)]
    if not masks:
        images, masks = _beside(images, [f for f in found if f.path.suffix.lower() in (*ARRAYS, OUTLINES)])
    if not images or not masks:
        return None
    _check_folds(tree, images)
    if any(file.split for file in images):
        stray = [file for file in images if file.split is None]
        notes += _left_out(tree.path, stray)
        images = [file for file in images if file.split is not None]
    return Files(tuple(images), tuple(masks), tuple(inside), tuple(notes))


def _files(
    tree: Tree,
    root: Path,
    named: Named,
    role: Role | None = None,
    kind: str = "",
    split: str | None = None,
    place: tuple[str, ...] = (),
) -> Iterable[File]:
    """Yield all files with what the names of their folders tell."""
    for name in tree.names:
        yield File(tree.path / name, role, kind, split, place, stem_of(name))
    splits = sibling_splits(tree.folders)
    for name, folder in tree.folders.items():
        says = meaning(name)
        given = named.role(root, folder.path)
        own = given or (None if _is_overruled(says.role, named) else says.role)
        if own == "image" and role == "mask" and given is None and re.search(r"\d", name):
            own = None  # masks/img_007/1.png: the folder has the name of an image
        inner = splits.get(name)
        if split is not None and inner != split:
            inner = None
        if own is None and inner is None:
            yield from _files(folder, root, named, role, kind, split, (*place, name))
        else:
            rest = (" ".join(says.rest),) if says.rest and given is None else ()
            word = _kind(name) if own else kind
            yield from _files(folder, root, named, own or role, word, split or inner, (*place, *rest))


def _kind(name: str) -> str:
    """Return a folder's name without its split: ``train_masks`` and ``test_masks`` are of one kind."""
    for word in ("gtfine", "gtcoarse", "manual"):
        if word in name.lower():
            return word
    split = meaning(name).split
    return name.lower() if split is None else without_split(name.lower())


def _is_overruled(role: Role | None, named: Named) -> bool:
    """Return whether the user named another folder for this role."""
    given = {"image": named.images, "mask": named.masks, "inside": named.inside}
    return bool(role and given.get(role))


def _is_called(root: Path, folder: Path, name: str) -> bool:
    return folder.name == name or folder == Path(os.path.normpath(root / name))


def _from_elsewhere(tree: Tree, named: Named, role: Role, name: str | None) -> Iterable[File]:
    """Yield the files of a named folder that lies outside of the data."""
    folder = None if name is None else Path(os.path.normpath(tree.path / Path(name).expanduser()))
    if folder is None or not folder.is_dir():
        return []
    if folder == tree.path:  # the images lie in the folder itself
        return [File(folder / n, role, ".", None, (), stem_of(n)) for n in tree.names]
    if folder.is_relative_to(tree.path):
        return []
    return _files(scan(folder), folder, named, role, folder.name)


def _check_named(tree: Tree, named: Named, roles: dict[str | None, list[File]]) -> None:
    wanted = {"image": named.images, "mask": named.masks}
    if any(name and not roles[role] for role, name in wanted.items()):
        pair = f"no folders {named.images or 'images'} and {named.masks or 'masks'} side by side"
        raise DataError(f"{tree.path}: {pair}. {held(tree)}")
    if named.inside and not roles["inside"]:
        raise DataError(f'{tree.path}: no such folder, but ignore_outside="{named.inside}". {held(tree)}')


def _may_be_mask(path: Path) -> bool:
    return is_image(path.name) or path.suffix.lower() in (*ARRAYS, OUTLINES)


def _one_kind(tree: Tree, masks: list[File]) -> tuple[list[File], list[File], list[str]]:
    """Return the masks of the kind that is meant at each place, those of a field of view, and notes.

    Raises:
        DataError: it is ambiguous which kind is meant.
    """
    drawn = [file for file in masks if file.path.suffix.lower() == OUTLINES]
    masks = [file for file in masks if file.path.suffix.lower() != OUTLINES] or drawn
    kinds: dict[object, set[str]] = defaultdict(set)
    for file in masks:
        kinds[file.where].add(file.kind)
    worse = {
        place: {kind for kind in own if _BETTER.get(kind.removesuffix("s")) in own}
        for place, own in kinds.items()
    }
    for place, own in kinds.items():
        if len(own - worse[place]) > 1:
            names = sorted(own - worse[place])
            raise DataError(
                f"{tree.path}: {', '.join(names)} might all hold the masks. Say which: "
                f'masks="{names[0]}" (--masks {names[0]} on the command line).'
            )
    chosen = [file for file in masks if file.kind not in worse[file.where]]
    rest = [file for file in masks if file.kind in worse[file.where]]
    if not rest:
        return chosen, [], []
    better = next(file.kind for file in chosen if file.where == rest[0].where)
    notes = [f"the masks are those of {better}, not those of {rest[0].kind}"]
    view = [replace(file, role="inside") for file in rest if file.kind.removesuffix("s") == "mask"]
    return chosen, view, notes


def _beside(images: list[File], others: list[File]) -> tuple[list[File], list[File]]:
    """Return images and masks that lie in one folder: x.jpg and x_mask.png, or x.jpg and x.txt."""
    stems = {(file.where, file.stem) for file in images}
    cores = {(file.where, core(file.stem)) for file in images if unmarked(file.stem) == file.stem}
    by_name = [
        file
        for file in [*images, *others]
        if unmarked(file.stem) != file.stem and (file.where, core(unmarked(file.stem))) in cores
    ]
    texts = [f for f in others if f.path.suffix.lower() == OUTLINES and (f.where, f.stem) in stems]
    if texts and not by_name and any(is_outline_file(file.path) for file in texts[:_LOOKED_AT]):
        by_name = texts
    chosen = {file.path for file in by_name}
    left = [file for file in images if file.path not in chosen]
    masked = {(file.where, core(unmarked(file.stem))) for file in by_name}
    known = {file.split for file in by_name}
    wanted = [file for file in left if file.split in known]
    mostly = 2 * sum((file.where, core(file.stem)) in masked for file in wanted) >= len(wanted)
    weak = all(is_weak(file.stem) for file in by_name) and by_name is not texts
    if not by_name or not mostly or (weak and not _look_like_masks(left, by_name)):
        return [], []
    return left, by_name


def _look_like_masks(images: list[File], masks: list[File]) -> bool:
    by_core = {(file.where, core(file.stem)): file.path for file in images}
    pairs = [(by_core.get((mask.where, core(unmarked(mask.stem)))), mask.path) for mask in masks]
    return look_like_masks([(image, mask) for image, mask in pairs if image is not None])


def _check_folds(tree: Tree, images: list[File]) -> None:
    """Refuse several folds at once: test images of one are training images of the others."""
    folds = {file.place[0] for file in images if file.split and file.place and _FOLD.match(file.place[0])}
    if len(folds) > 1:
        raise DataError(
            f"{tree.path}: holds several folds ({first_few(sorted(folds))}), each with its own splits. Did "
            f"you mean {tree.path / min(folds)}?"
        )


def _left_out(root: Path, stray: Sequence[File]) -> list[str]:
    if not stray:
        return []
    folders = sorted({file.path.parent.relative_to(root).as_posix() for file in stray})
    text = "{n} [image in {names} is in no split and is|images in {names} are in no split and are] left out"
    return [agreeing(len(stray), text, names=first_few(folders))]
