"""Look at a folder of images and masks that does not open: what lacks its mask, and what the masks hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from foveate.data.check_masks import check_files, palette_used
from foveate.data.decode import file_size
from foveate.data.finding import Finding
from foveate.data.mask_code import raw_mask
from foveate.data.mask_layout import Pair, find_pairs
from foveate.errors import DataError

_MANY = 12  # values named; more says that they are no class numbers


def check_pairs(root: Path) -> Iterator[Finding]:
    """Yield what is found in a folder of images and masks, and nothing for any other folder."""
    try:
        found = find_pairs(root.resolve())
    except DataError:  # told by whoever tried to open it
        return
    if found is None:
        return
    bare = tuple(_name(root, path) for path in found.bare)
    if bare:
        text = f"{len(bare)} images have no mask. Add the masks, or remove the images."
        yield Finding("missing_mask", "error", text, bare)
    spare = tuple(_name(root, path) for path in found.spare)
    if spare:
        yield Finding("spare_mask", "note", f"{len(spare)} masks have no image. They are left out.", spare)
    yield from _sizes(root, found.pairs)
    yield from _held(root, found.pairs)


def _sizes(root: Path, pairs: Sequence[Pair]) -> Iterator[Finding]:
    wrong = []
    for pair in pairs:
        try:
            image, mask = file_size(pair.image), file_size(pair.mask)
        except DataError:  # an unreadable file is a finding of its own
            continue
        if image != mask:
            wrong.append(f"{_name(root, pair.mask)} (mask {mask[1]}x{mask[0]}, image {image[1]}x{image[0]})")
    if wrong:
        text = f"{len(wrong)} masks are not as large as their image. Make them equal."
        yield Finding("mask_size", "error", text, tuple(wrong))


def _held(root: Path, pairs: Sequence[Pair]) -> Iterator[Finding]:
    """Yield in how many masks each value occurs, and what cannot be read as values."""
    masks: Counter[int] = Counter()
    pixels: Counter[int] = Counter()
    forms, unclear = [], []
    for pair in pairs:
        try:
            forms.append((_name(root, pair.mask), *palette_used(pair.mask)))
            values, counts = np.unique(raw_mask(pair.mask, "index"), return_counts=True)
        except DataError as error:
            unclear.append(f"{_name(root, pair.mask)}: {str(error).removeprefix(f'{pair.mask.resolve()}: ')}")
            continue
        masks.update(values.tolist())
        pixels.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    if unclear:
        yield Finding(
            "unusable_mask", "error", f"{len(unclear)} masks hold no class numbers.", tuple(unclear)
        )
    if masks:
        listed = tuple(
            f"value {value}: in {masks[value]} masks, {pixels[value]} pixels" for value in sorted(masks)
        )
        text = f"the masks hold {len(masks)} different values."
        if len(masks) > _MANY:
            text += " So many are rarely class numbers: soft edges, or numbers of objects?"
        yield Finding("mask_values", "note", text, listed)
    yield from check_files(forms)


def _name(root: Path, path: Path) -> str:
    return path.relative_to(root.resolve()).as_posix()
