"""A folder of images and masks.

``layout`` finds what belongs together, ``infer_pairs`` what the masks mean.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from foveate.data.base import IGNORE, ImageData
from foveate.data.entries import Entry, data_from_entries
from foveate.data.folders.tree import scan
from foveate.data.images.decode import MOST_PIXELS
from foveate.data.masks.class_table import Colours, Names
from foveate.data.masks.code import Code
from foveate.data.masks.infer_code import Ignored, MaskOptions
from foveate.data.masks.infer_pairs import infer_from_pairs
from foveate.data.masks.layout import Pairs, find_pairs
from foveate.data.masks.pairs import Pair
from foveate.data.splits import SHARES, Shares
from foveate.errors import DataError

_SHOWN = 5  # files named in an error
_LOOKED_AT = 4  # masks of a part


def open_mask_folder(
    path: Path,
    found: Pairs | None = None,
    /,
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
        found: What it holds, if somebody has looked already.
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
    found = found or find_pairs(scan(path), images=images, masks=masks, inside=ignore_outside)
    if found is None:
        raise DataError(f"{path}: no folders of images and masks side by side.")
    _check_bare(path, found)
    options = MaskOptions(classes, ignore_index, colours, background, threshold)
    code, palette, notes = infer_from_pairs(found, options)
    entries, more = _with_truth([_entry(path, pair) for pair in found.pairs], code)
    if found.spare:
        more.append(f"{len(found.spare)} masks have no image and are left out")
    given = vars(options) | {"ignore_outside": ignore_outside, "images": images, "masks": masks}
    whole = all(entry.split is None for entry in entries)
    return data_from_entries(
        path,
        entries,
        code.classes,
        seed=seed,
        shares=shares,
        options=plain(given) | ({"shares": list(shares)} if whole else {}),
        code=code,
        palette=palette,
        notes=[*found.notes, *notes, *more],
        max_pixels=max_pixels,
    )


def _entry(root: Path, pair: Pair) -> Entry:
    name = Path(os.path.relpath(pair.image, root)).as_posix()
    return Entry(name, pair.image, split=pair.split, masks=pair.masks, inside=pair.inside)


def _with_truth(entries: list[Entry], code: Code) -> tuple[list[Entry], list[str]]:
    """Leave out a part of which no pixel counts, such as the test masks of Cityscapes; with a note."""
    blind = {split for split in ("val", "test") if _is_blind([e for e in entries if e.split == split], code)}
    notes = [f"every pixel of the masks of {split} is ignored: it is left out" for split in sorted(blind)]
    kept = [entry for entry in entries if entry.split not in blind]
    if {entry.split for entry in kept} == {"train"}:
        kept = [replace(entry, split=None) for entry in kept]
        notes.append("only train has masks: it is cut into train, val and test")
    return kept, notes


def _is_blind(entries: list[Entry], code: Code) -> bool:
    """Tell whether nothing counts in the first masks of a part; a mask that cannot be read is told later."""
    try:
        return bool(entries) and all(
            (code.read(entry.masks or (), entry.path) == IGNORE).all() for entry in entries[:_LOOKED_AT]
        )
    except DataError:
        return False


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
