"""A folder of images and masks.

``mask_layout`` has the layouts, ``mask_learn`` what the masks mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from foveate.data.base import ImageData
from foveate.data.class_table import Colours, Names
from foveate.data.decode import MOST_PIXELS
from foveate.data.files import Entry, data_from_entries
from foveate.data.mask_layout import Pairs, find_pairs
from foveate.data.mask_learn import Ignored, Wishes, learn
from foveate.data.splits import SHARES, Shares
from foveate.errors import DataError

_SHOWN = 5  # files named in an error


def open_mask_folder(
    path: Path,
    *,
    seed: int = 0,
    shares: Shares = SHARES,
    classes: Names | None = None,
    ignore_index: Ignored | None = None,
    colours: Colours | None = None,
    background: str | None = None,
    threshold: int | None = None,
    ignore_outside: str | None = None,
    images: str | None = None,
    masks: str | None = None,
    max_pixels: int = MOST_PIXELS,
) -> ImageData:
    """Open a folder of images and masks.

    Args:
        path: The folder.
        seed: Decides the cut of data in one piece.
        shares: Of train, val and test, likewise.
        classes: Class names in order, ignored ones too; how many; or a file of one a line. Without, those of
            a ``classes.txt`` in the folder, or as many as the masks hold.
        ignore_index: Values (or names) that do not count. 255 never does where masks hold class numbers.
        colours: Colour table of RGB masks: a file, or a mapping from names to colours. Without, that of a
            ``classes.csv`` in the folder.
        background: Name of class 0 of binary masks; with a colour table the class of all colours that it
            leaves out.
        threshold: Grey level from which on a pixel is foreground, for masks with soft edges.
        ignore_outside: Name of a folder of masks, beside that of the masks; what is 0 there does not count.
        images: Name of the folders of images, if it is none of the usual; or the path to one.
        masks: Likewise of masks.
        max_pixels: Pixels of the largest picture that is decoded.

    Raises:
        DataError: it is no such folder, images have no mask, a mask cannot be read, or nobody can tell what
            its pixels mean.
        OptionError: the options contradict each other.
    """
    path = path.resolve()
    found = find_pairs(path, images=images, masks=masks, inside=ignore_outside)
    if found is None:
        raise DataError(f"{path}: no folders of images and masks side by side.")
    _check_bare(path, found)
    wishes = Wishes(classes, ignore_index, colours, background, threshold)
    learnt = learn(found.root, [pair.mask for pair in found.pairs], wishes)
    entries = [
        Entry(
            pair.image.relative_to(path).as_posix(),
            pair.image,
            split=pair.split,
            mask=pair.mask,
            inside=pair.inside,
        )
        for pair in found.pairs
    ]
    notes = list(learnt.notes)
    if found.spare:
        notes.append(f"{len(found.spare)} masks have no image and are left out")
    if found.unused:
        name = found.unused[0].name
        notes.append(f'the folder {name} is not used; ignore_outside="{name}" ignores what is 0 there')
    given = {
        "classes": classes,
        "ignore_index": ignore_index,
        "colours": colours,
        "background": background,
        "threshold": threshold,
        "ignore_outside": ignore_outside,
        "images": images,
        "masks": masks,
    }
    whole = all(pair.split is None for pair in found.pairs)
    return data_from_entries(
        path,
        entries,
        learnt.code.classes,
        seed=seed,
        shares=shares,
        options=plain(given) | ({"shares": list(shares)} if whole else {}),
        code=learnt.code,
        palette=learnt.palette,
        notes=notes,
        max_pixels=max_pixels,
    )


def plain(options: Mapping[str, object]) -> dict[str, object]:
    """Return the options that were given, as JSON can hold them."""
    return {name: _plain(value) for name, value in options.items() if value is not None}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Path):
        return str(value)
    return (
        [_plain(item) for item in value]
        if isinstance(value, Sequence) and not isinstance(value, str)
        else value
    )


def _check_bare(path: Path, found: Pairs) -> None:
    if found.bare:
        names = ", ".join(file.relative_to(path).as_posix() for file in found.bare[:_SHOWN])
        more = f" and {len(found.bare) - _SHOWN} more" if len(found.bare) > _SHOWN else ""
        raise DataError(
            f"{path}: {len(found.bare)} images have no mask: {names}{more}. Add masks, or remove the images."
        )
