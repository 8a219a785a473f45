"""Find images and their masks in a folder.

Layouts known, ``images`` and ``masks`` under any of their usual names::

    DATA/train/images/*.jpg   DATA/train/masks/*.png     and val, test
    DATA/images/train/*.jpg   DATA/masks/train/*.png
    DATA/images/*.jpg         DATA/masks/*.png           one piece, or cut by train.txt, val.txt, test.txt
    DATA/train/*.png          DATA/trainannot/*.png      CamVid
    DATA/JPEGImages/*.jpg     DATA/SegmentationClass     VOC, cut by ImageSets/Segmentation/*.txt
    DATA/x.jpg                DATA/x_mask.png            beside each other; also in train, val, test

A mask belongs to the image of the same name, at the same place below its folder, whatever follows of
``_mask``, ``_gt``, ``_L`` and the like.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from foveate.data.mask_lists import split_lists
from foveate.data.splits import WORDS
from foveate.data.walk import image_files, visible_folders
from foveate.errors import DataError

IMAGES = ("images", "image", "imgs", "img", "jpegimages", "photos", "pictures")
MASKS = (
    "masks",
    "mask",
    "labels",
    "label",
    "annotations",
    "annotation",
    "annots",
    "gt",
    "groundtruth",
    "ground_truth",
    "segmentationclass",
    "segmentations",
    "targets",
    "vessels",
)
INSIDE = ("fov", "roi")  # folders of masks that say where to look; only used if asked for
_BESIDE = (
    "annot",
    "_annot",
    "_annotations",
    "_labels",
    "_label",
    "labels",
    "_masks",
    "_mask",
    "masks",
    "_gt",
    "gt",
)
_SUFFIX = re.compile(
    r"[_.-](masks?|labels?|gt|seg|segmentation|annot|annotation|groundtruth|L|gtFine_labelIds)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Pair:
    """An image with its mask.

    Args:
        image: The image file.
        mask: Its mask's.
        split: train, val or test, or None if the folder does not say.
        inside: A mask that says where to look, if it is wanted.
    """

    image: Path
    mask: Path
    split: str | None
    inside: Path | None = None


@dataclass(frozen=True)
class Pairs:
    """What a folder of images and masks holds.

    Args:
        root: The folder that the layout starts at.
        pairs: Images with masks.
        bare: Images without a mask.
        spare: Masks without an image.
        unused: Folders of a field of view that nobody asked for.
    """

    root: Path
    pairs: tuple[Pair, ...]
    bare: tuple[Path, ...]
    spare: tuple[Path, ...]
    unused: tuple[Path, ...] = ()


@dataclass(frozen=True)
class _Source:
    """Two folders that mirror each other; the same one twice if masks lie beside images."""

    split: str | None
    images: Path
    masks: Path


def find_pairs(
    root: Path, *, images: str | None = None, masks: str | None = None, inside: str | None = None
) -> Pairs | None:
    """Return the images and masks of a folder, or None if it is no folder of such.

    Args:
        root: The folder.
        images: Name of the folders of images, if it is none of the usual; or the path to one.
        masks: Likewise of masks.
        inside: Likewise of masks that say where to look.

    Raises:
        DataError: several folders might hold the masks, two files might be the mask of one image, or there is
            no folder called ``images``, ``masks`` or ``inside``.
    """
    root = _voc(root)
    sources = list(_sources(root, images, masks))
    if not sources:
        if images or masks:
            wanted = f"no folders {images or 'images'} and {masks or 'masks'} side by side"
            raise DataError(f"{root}: {wanted}. {found_in(root)}")
        return None
    found = [_paired(source, inside) for source in sources]
    joined = Pairs(
        root,
        *(
            tuple(item for one in found for item in getattr(one, part))
            for part in ("pairs", "bare", "spare", "unused")
        ),
    )
    if not joined.pairs:
        raise DataError(
            f"{root}: no mask has the name of an image: images are called {_few(joined.bare)}, masks "
            f"{_few(joined.spare)}. Name them alike (x.jpg and x.png, or x_mask.png), or give a "
            "table of path,mask."
        )
    return _listed(joined) if all(source.split is None for source in sources) else joined


def is_mask_folder(root: Path) -> bool:
    """Tell whether a folder holds images and masks in a layout that is known."""
    return any(True for _ in _sources(_voc(root), None, None))


def found_in(root: Path) -> str:
    """Say what a folder holds, for an error."""
    folders = [f"{folder.name} ({len(image_files(folder))} images)" for folder in visible_folders(root)[:8]]
    own = sum(1 for file in image_files(root) if file.parent == root)
    return f"Found {', '.join(folders) or 'no folders'}; {own} images in the folder itself."


def _sources(root: Path, images: str | None, masks: str | None) -> Iterator[_Source]:
    """Yield what mirrors what, by the first layout that fits."""
    splits = {
        folder: split
        for folder in visible_folders(root)
        if (split := WORDS.get(folder.name.lower())) is not None
    }
    for folder, split in splits.items():
        both = _both(folder, images, masks)
        if both:
            yield _Source(split, *both)
        elif other := _companion(root, folder):
            yield _Source(split, folder, other)
        elif _mixed(folder):
            yield _Source(split, folder, folder)
    both = _both(root, images, masks) if not splits else None
    if both:
        parts = [folder for folder in visible_folders(both[0]) if folder.name.lower() in WORDS]
        for part in parts:
            if (both[1] / part.name).is_dir():
                yield _Source(WORDS[part.name.lower()], part, both[1] / part.name)
        if not parts:
            yield _Source(None, *both)
    elif not splits and _mixed(root):
        yield _Source(None, root, root)


def _both(folder: Path, images: str | None, masks: str | None) -> tuple[Path, Path] | None:
    """Return the folders of images and of masks in a folder."""
    pictures = _called(folder, "images", images, IMAGES)
    truths = _called(folder, "masks", masks, MASKS)
    return (pictures, truths) if pictures and truths else None


def _called(folder: Path, what: str, name: str | None, usual: Sequence[str]) -> Path | None:
    """Return the folder of a name that was given, or of a usual one."""
    if name is not None:
        return folder / name if (folder / name).is_dir() else None
    found = [child for child in visible_folders(folder) if child.name.lower() in usual]
    if len(found) > 1:
        names = ", ".join(child.name for child in found)
        raise DataError(f'{folder}: {names} might all hold the {what}. Say which: {what}="{found[0].name}".')
    return found[0] if found else None


def _companion(root: Path, folder: Path) -> Path | None:
    """Return CamVid's ``trainannot`` beside ``train``."""
    return next(
        (root / f"{folder.name}{end}" for end in _BESIDE if (root / f"{folder.name}{end}").is_dir()), None
    )


def _mixed(folder: Path) -> bool:
    """Tell a folder with x.jpg and x_mask.png in it."""
    stems = {file.stem for file in image_files(folder) if file.parent == folder}
    return any(_SUFFIX.search(stem) and _SUFFIX.sub("", stem) in stems for stem in stems)


def _paired(source: _Source, inside: str | None) -> Pairs:
    together = source.images == source.masks
    files = image_files(source.images)
    if together:
        masks = [file for file in files if _SUFFIX.search(file.stem)]
        pictures = [file for file in files if not _SUFFIX.search(file.stem)]
    else:
        pictures, masks = files, image_files(source.masks)
    by_key = _by_key(source.images, pictures, {})
    truths = _by_key(source.masks, masks, by_key)
    unused: tuple[Path, ...] = ()
    within: dict[str, Path] = {}
    if inside is not None:
        folder = source.masks.parent / inside
        if not folder.is_dir():
            raise DataError(
                f'{folder}: no such folder, but ignore_outside="{inside}". {found_in(folder.parent)}'
            )
        within = _by_key(folder, image_files(folder), by_key)
        lost = [file for key, file in by_key.items() if key in truths and key not in within]
        if lost:
            raise DataError(f"{folder}: has nothing for {_few(lost)}. Add it, or leave ignore_outside out.")
    elif not together:
        unused = tuple(source.masks.parent / name for name in INSIDE if (source.masks.parent / name).is_dir())
    return Pairs(
        source.images,
        tuple(
            Pair(by_key[key], truths[key], source.split, within.get(key)) for key in by_key if key in truths
        ),
        tuple(file for key, file in by_key.items() if key not in truths),
        tuple(file for key, file in truths.items() if key not in by_key),
        unused,
    )


def _by_key(folder: Path, files: Sequence[Path], known: dict[str, Path]) -> dict[str, Path]:
    """Return files by their place and name below the folder, without what marks a mask as such."""
    found: dict[str, Path] = {}
    for file in files:
        key = file.relative_to(folder).with_suffix("").as_posix()
        if known and key not in known:
            key = _SUFFIX.sub("", key)
        if key in found:
            raise DataError(
                f"{found[key]} and {file.name} have the same name but for its end. Keep one of them."
            )
        found[key] = file
    return found


def _voc(root: Path) -> Path:
    """Return the folder that holds JPEGImages, where it is inside ``VOCdevkit/VOC2012``."""
    for pattern in (".", "VOC*", "VOCdevkit/VOC*"):
        for folder in sorted(root.glob(pattern)) if pattern != "." else [root]:
            if (folder / "JPEGImages").is_dir() and (folder / "SegmentationClass").is_dir():
                return folder
    return root


def _listed(pairs: Pairs) -> Pairs:
    """Return the pairs that lists of files name, in the splits that they state; all of them without lists."""
    lists = split_lists(pairs.root)
    if not lists:
        return pairs
    by_stem = {pair.image.stem: pair for pair in pairs.pairs}
    bare = {file.stem: file for file in pairs.bare}
    chosen = [
        replace(by_stem[stem], split=split)
        for split, stems in lists.items()
        for stem in stems
        if stem in by_stem
    ]
    without = tuple(bare[stem] for stems in lists.values() for stem in stems if stem in bare)
    lost = [stem for stems in lists.values() for stem in stems if stem not in by_stem and stem not in bare]
    if lost:
        raise DataError(
            f"{pairs.root}: no image is called {_few(lost)}, which the lists name. Correct the lists."
        )
    return replace(pairs, pairs=tuple(chosen), bare=without, spare=())


def _few(names: Sequence[Path | str]) -> str:
    shown = ", ".join(name.name if isinstance(name, Path) else name for name in names[:3])
    return f"{shown}, ... ({len(names)})" if len(names) > 3 else shown or "nothing"
