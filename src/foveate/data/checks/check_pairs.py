"""Check a folder of images and masks that does not open: missing masks, and what the masks hold."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from foveate.data.checks.check_masks import check_forms, palette_used
from foveate.data.checks.finding import Finding
from foveate.data.folders.tree import scan
from foveate.data.images.open_image import file_size
from foveate.data.masks.layout import find_pairs
from foveate.data.masks.raw import mask_size, raw_mask
from foveate.errors import DataError
from foveate.quantities import agreeing

_MANY = 12  # values; more are rarely class numbers


def check_pairs(root: Path, *, images: str | None = None, masks: str | None = None) -> Iterator[Finding]:
    """Yield findings on a folder of images and masks; none for any other folder.

    Args:
        root: The folder.
        images: Name of the folders of images, as ``open_mask_folder`` takes it.
        masks: Likewise of masks.
    """
    try:
        found = find_pairs(scan(root.resolve()), images=images, masks=masks)
    except DataError:  # reported when the data was opened
        return
    if found is None:
        return
    bare = tuple(_name(root, path) for path in found.bare)
    if bare:
        text = agreeing(
            len(bare),
            "{n} [image has|images have] no mask. Add the [mask|masks], or remove the [image|images].",
        )
        yield Finding("missing_mask", "error", text, bare)
    spare = tuple(_name(root, path) for path in found.spare)
    if spare:
        text = agreeing(len(spare), "{n} [mask has no image. It is|masks have no image. They are] left out.")
        yield Finding("spare_mask", "note", text, spare)
    if not found.outlined:
        masks_of = [(pair.image, mask) for pair in found.pairs for mask in pair.masks]
        yield from _sizes(root, masks_of)
        yield from _held(root, [mask for _, mask in masks_of])


def _sizes(root: Path, pairs: Sequence[tuple[Path, Path]]) -> Iterator[Finding]:
    wrong = []
    for image_file, mask_file in pairs:
        try:
            image, mask = file_size(image_file), mask_size(mask_file)
        except DataError:  # an unreadable file is a finding of its own
            continue
        if image != mask:
            wrong.append(f"{_name(root, mask_file)} (mask {mask[1]}x{mask[0]}, image {image[1]}x{image[0]})")
    if wrong:
        text = agreeing(
            len(wrong), "{n} [mask is|masks are] not as large as [its|their] image. Make them equal."
        )
        yield Finding("mask_size", "error", text, tuple(wrong))


def _held(root: Path, files: Sequence[Path]) -> Iterator[Finding]:
    """Yield in how many masks each value occurs, and which files hold no class numbers."""
    masks: Counter[int] = Counter()
    pixels: Counter[int] = Counter()
    forms, unclear = [], []
    for file in files:
        try:
            forms.append((_name(root, file), *palette_used(file)))
            values, counts = np.unique(raw_mask(file, "index"), return_counts=True)
        except DataError as error:
            unclear.append(f"{_name(root, file)}: {str(error).removeprefix(f'{file.resolve()}: ')}")
            continue
        masks.update(values.tolist())
        pixels.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    if unclear:
        text = agreeing(len(unclear), "{n} [mask holds|masks hold] no class numbers.")
        yield Finding("unusable_mask", "error", text, tuple(unclear))
    if masks:
        listed = tuple(
            f"value {value}: in {agreeing(masks[value], '{n} [mask|masks]')}, {pixels[value]} pixels"
            for value in sorted(masks)
        )
        text = f"the masks hold {len(masks)} different values."
        if len(masks) > _MANY:
            text += " So many are rarely class numbers: soft edges, or numbers of objects?"
        yield Finding("mask_values", "note", text, listed)
    yield from check_forms(forms)


def _name(root: Path, path: Path) -> str:
    return Path(os.path.relpath(path, root.resolve())).as_posix()
