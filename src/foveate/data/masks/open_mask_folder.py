"""A folder of images and masks: one file a mask, several files a mask, or outlines in text files."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from foveate.data.base import ImageData
from foveate.data.class_numbers import IGNORE
from foveate.data.entries import Entry, data_from_entries, plain
from foveate.data.folders.tree import scan
from foveate.data.images.open_image import MOST_PIXELS
from foveate.data.masks.class_table import Colours, Names, class_names
from foveate.data.masks.code import Code, MaskCode
from foveate.data.masks.found_files import Pair
from foveate.data.masks.infer_code import Ignored, MaskOptions, infer_code
from foveate.data.masks.layers import are_layers, infer_layers
from foveate.data.masks.layout import Pairs, find_pairs
from foveate.data.masks.outlines import infer_outlines
from foveate.data.masks.scan_masks import MaskScan
from foveate.data.splits import SHARES, Shares
from foveate.errors import DataError, OptionError, first_few
from foveate.quantities import agreeing

_LOOKED_AT = 4  # masks of a split


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
        found: What it holds, if it was scanned already.
        seed: Decides the cut of data in one piece.
        shares: Of train, val and test, likewise.
        classes: Class names in order, ignored ones too; how many; or a file with one per line. Without,
            those of a ``classes.txt`` in the folder, or those that occur in the masks.
        ignore_index: Values (or names) that do not count. Class number 255 is always ignored.
        colours: Colour table of RGB masks: a file, or a mapping from names to colours. Without, that of a
            ``classes.csv`` in the folder.
        background: Name of class 0 of binary masks; with a colour table, the class of all other colours.
        threshold: Grey level at and above which a pixel is foreground, for masks with soft edges.
        ignore_outside: Name of a further folder of masks; pixels that are 0 there do not count.
        images: Name of the folders of images, if it is not a usual one; or the path to one.
        masks: Likewise of masks.
        max_pixels: Pixels of the largest picture that is decoded.

    Raises:
        DataError: it is not such a folder, images have no mask, a mask cannot be read, or the meaning of its
            pixels is ambiguous.
        OptionError: the options contradict each other.
    """
    path = path.resolve()
    found = found or find_pairs(scan(path), images=images, masks=masks, inside=ignore_outside)
    if found is None:
        raise DataError(f"{path}: no folders of images and masks side by side.")
    _check_bare(path, found)
    options = MaskOptions(classes, ignore_index, colours, background, threshold)
    files = MaskScan([file for pair in found.pairs for file in pair.masks])
    code, palette, notes = _infer(found, files, options)
    entries, more = _with_truth([_entry(path, pair) for pair in found.pairs], code, files)
    if found.spare:
        more.append(
            agreeing(len(found.spare), "{n} [mask has no image and is|masks have no image and are] left out")
        )
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
        scan=files,
        palette=palette,
        notes=[*found.notes, *notes, *more],
        max_pixels=max_pixels,
    )


def _entry(root: Path, pair: Pair) -> Entry:
    name = Path(os.path.relpath(pair.image, root)).as_posix()
    return Entry(name, pair.image, split=pair.split, masks=pair.masks, inside=pair.inside)


def _with_truth(entries: list[Entry], code: Code, scan: MaskScan) -> tuple[list[Entry], list[str]]:
    """Leave out a split in which no pixel counts, such as the test masks of Cityscapes; with a note."""
    blind = {
        split for split in ("val", "test") if _is_blind([e for e in entries if e.split == split], code, scan)
    }
    notes = [f"every pixel of the masks of {split} is ignored: it is left out" for split in sorted(blind)]
    kept = [entry for entry in entries if entry.split not in blind]
    if {entry.split for entry in kept} == {"train"}:
        kept = [replace(entry, split=None) for entry in kept]
        notes.append("only train has masks: it is cut into train, val and test")
    return kept, notes


def _is_blind(entries: list[Entry], code: Code, scan: MaskScan) -> bool:
    """Return whether no pixel counts in the first masks; one that cannot be read is reported later."""
    try:
        return bool(entries) and all(_is_ignored(entry, code, scan) for entry in entries[:_LOOKED_AT])
    except DataError:
        return False


def _is_ignored(entry: Entry, code: Code, scan: MaskScan) -> bool:
    files = entry.masks or ()
    if isinstance(code, MaskCode) and code.kind != "colour":
        (seen,) = scan.look(files)
        if seen.mode != "1":  # one bit is read differently by each kind of code
            values = np.array(sorted(seen.values or ()), dtype=np.int32)
            return bool((code.classes_of(values, str(files[0])) == IGNORE).all())
    return bool((code.read(files, entry.path) == IGNORE).all())


def _check_bare(path: Path, found: Pairs) -> None:
    if found.bare:
        names = first_few(file.relative_to(path).as_posix() for file in found.bare)
        text = (
            "{n} [image has|images have] no mask: {names}. Add [a mask|masks], or remove the [image|images]."
        )
        raise DataError(f"{path}: {agreeing(len(found.bare), text, names=names)}")


def _infer(
    found: Pairs, scan: MaskScan, options: MaskOptions
) -> tuple[Code, UInt8[np.ndarray, "k 3"] | None, tuple[str, ...]]:
    """Return what the masks of a folder mean, colours of the classes if they come with any, and notes.

    Args:
        found: Images with their masks.
        scan: The files of those.
        options: The user's.

    Raises:
        DataError: a mask cannot be read, or its meaning is ambiguous.
        OptionError: the options contradict each other, or are for other masks.
    """
    several = any(len(pair.masks) > 1 for pair in found.pairs)
    if found.outlined:
        _only_names(options, "masks from outlines")
        names = None if options.classes is None else class_names(options.classes)
        outlines, note = infer_outlines(found.root, scan.files, names)
        return outlines, None, (note,)
    if found.pairs[0].labels and (several or are_layers(scan)):
        _only_names(options, "masks in several files", "threshold")
        layers, note = infer_layers(found.pairs, scan, _names(options), options.threshold)
        return layers, None, (note,)
    single = infer_code(found.root, scan, options)
    return single.code, single.palette, single.notes


def _names(options: MaskOptions) -> tuple[str, ...] | None:
    """Return class names, unless only their number is given."""
    given = options.classes
    return None if given is None or isinstance(given, int) else class_names(given)


def _only_names(options: MaskOptions, what: str, *also: str) -> None:
    for name, value in vars(options).items():
        if value is not None and name not in ("classes", *also):
            raise OptionError(f"{name}= does not apply to {what}. Leave it out.")
