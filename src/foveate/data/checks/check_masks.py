"""Check masks before a study: each one once, against its image, its file and all others."""

from __future__ import annotations

import os
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from foveate.data.base import ImageData, Split
from foveate.data.checks.finding import Finding
from foveate.data.class_numbers import IGNORE
from foveate.data.images.open_image import opened
from foveate.data.masks.raw import ARRAYS
from foveate.quantities import agreeing

_UNEVEN = 100.0  # pixels of the most frequent class over those of the rarest: from here on, advise weights

Palette = tuple[tuple[int, tuple[int, ...]], ...]  # the indices that a mask uses, with their colours


@dataclass(frozen=True)
class MaskLook:
    """What one look at a mask found.

    Args:
        name: Its name in findings.
        split: The split that it is in.
        problem: Why it cannot be used; None for a sound mask.
        size: Width and height in pixels; (0, 0) if unknown.
        counts: Pixels of each class (256,), of what is ignored at ``IGNORE``.
        digest: A number that two equal masks share.
        form: The file's format, or "".
        palette: Of a paletted file: each index that occurs, with its colour.
    """

    name: str
    split: str
    problem: str | None
    size: tuple[int, int]
    counts: Int64[np.ndarray, " 256"]
    digest: int
    form: str = ""
    palette: Palette = ()


def look_at_masks(name: str, split: Split) -> list[MaskLook]:
    """Return a look at each mask of a split. It never raises: faults are in ``problem``."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return list(pool.map(partial(_look, name, split), range(len(split))))


def check_masks(
    data: ImageData, looks: Sequence[MaskLook], sizes: Sequence[tuple[int, int]]
) -> Iterator[Finding]:
    """Yield faults and peculiarities of masks.

    Args:
        data: What they belong to.
        looks: At all masks of all splits.
        sizes: Width and height of each one's image; (0, 0) if unknown.
    """
    yield from _unusable(looks)
    yield from _sizes(looks, sizes)
    yield from _contents(data, looks)
    yield from _two_codes(data, looks)
    yield from check_forms([(look.name, look.form, look.palette) for look in looks])
    yield from _classes(data, looks)


def check_forms(files: Sequence[tuple[str, str, Palette]]) -> Iterator[Finding]:
    """Yield faults of file formats and palettes.

    Args:
        files: Name, format, and the used part of its palette, of each.
    """
    jpegs = tuple(name for name, form, _ in files if form == "JPEG")
    if jpegs:
        text = agreeing(
            len(jpegs),
            "{n} [mask is a JPEG, which blurs|masks are JPEGs, which blur] class numbers along every edge. "
            "Save masks as PNG.",
        )
        yield Finding("jpeg_mask", "warning", text, jpegs)
    votes: dict[int, Counter[tuple[int, ...]]] = {}
    for _, _, palette in files:
        for index, colour in palette:
            votes.setdefault(index, Counter())[colour] += 1
    usual = {index: counter.most_common(1)[0][0] for index, counter in votes.items()}
    trapped = tuple(
        f"{name} (index {index} is {colour}, mostly {usual[index]})"
        for name, _, palette in files
        for index, colour in palette
        if colour != usual[index]
    )
    if trapped:
        text = agreeing(
            len(trapped),
            "{n} [time|times] an index has another colour in a paletted mask than in most others. The index "
            "counts: if colours were reduced to a palette, it is arbitrary. With colours= the colour counts.",
        )
        yield Finding("palette_trap", "warning", text, trapped)


def palette_used(path: Path) -> tuple[str, Palette]:
    """Return a mask file's format, and the used part of its palette.

    Raises:
        DataError: the file cannot be read.
    """
    if path.suffix.lower() in ARRAYS:
        return "", ()
    with opened(path) as image:
        form, palette = image.format or "", image.getpalette("RGB") if image.mode == "P" else None
        if palette is None:
            return form, ()
        used = np.unique(np.asarray(image)).tolist()
    return form, tuple((index, tuple(palette[3 * index : 3 * index + 3])) for index in used)


def _look(name: str, split: Split, item: int) -> MaskLook:
    assert split.masks is not None
    file = None if split.mask_files is None else split.mask_files[item]
    called = str(_short(file)) if file else f"mask of {split.names[item]}"
    try:
        mask = split.masks(item)
        form, palette = ("", ()) if file is None else palette_used(file)
    except Exception as error:  # a user's dataset may raise anything; a check must not crash
        text = str(error) or type(error).__name__
        text = text.removeprefix(f"{file}: ") if file else text
        return MaskLook(called, name, text, (0, 0), np.zeros(256, dtype=np.int64), 0)
    counts = np.bincount(mask.reshape(-1), minlength=256)
    size = (mask.shape[1], mask.shape[0])
    return MaskLook(called, name, None, size, counts, zlib.crc32(mask.tobytes()), form, palette)


def _short(file: Path) -> Path:
    """Return the last three parts of a path: split, folder and name in most layouts."""
    return Path(*file.parts[-3:])


def _unusable(looks: Sequence[MaskLook]) -> Iterator[Finding]:
    found = tuple(f"{look.name}: {look.problem}" for look in looks if look.problem is not None)
    if found:
        text = agreeing(len(found), "{n} [mask|masks] cannot be used.")
        yield Finding("unusable_mask", "error", text, found)


def _sizes(looks: Sequence[MaskLook], sizes: Sequence[tuple[int, int]]) -> Iterator[Finding]:
    found = tuple(
        "{} (mask {}x{}, image {}x{})".format(look.name, *look.size, *size)
        for look, size in zip(looks, sizes, strict=True)
        if look.problem is None and min(size) > 0 and look.size != size
    )
    if found:
        text = agreeing(
            len(found), "{n} [mask is|masks are] not as large as [its|their] image. Make them equal."
        )
        yield Finding("mask_size", "error", text, found)


def _contents(data: ImageData, looks: Sequence[MaskLook]) -> Iterator[Finding]:
    sound = [look for look in looks if look.problem is None]
    blind = tuple(look.name for look in sound if not look.counts[:IGNORE].any())
    if blind:
        text = agreeing(
            len(blind),
            "{n} [mask is ignored in every pixel: it has|masks are ignored in every pixel: they have] no "
            "effect. Remove [it|them].",
        )
        yield Finding("all_ignored", "warning", text, blind)
    flat = {
        look.name: int(look.counts[:IGNORE].argmax())
        for look in sound
        if np.count_nonzero(look.counts[:IGNORE]) == 1
    }
    empty = tuple(name for name, label in flat.items() if label == 0)
    if empty:
        text = agreeing(
            len(empty),
            "{n} [mask holds|masks hold] only {name}. Fine if nothing else is in the image.",
            name=data.classes[0],
        )
        yield Finding("empty_mask", "note", text, empty)
    full = tuple(f"{name} ({data.classes[label]})" for name, label in flat.items() if label != 0)
    if full:
        text = agreeing(
            len(full),
            "{n} [mask holds|masks hold] a single class. Check that [it was|they were] saved correctly.",
        )
        yield Finding("constant_mask", "warning", text, full)
    if sound and len(flat) == len(sound):
        yield Finding("one_class", "error", "no mask holds two classes: there is nothing to segment.")


def _two_codes(data: ImageData, looks: Sequence[MaskLook]) -> Iterator[Finding]:
    """Find masks that hold 0 and 255 among masks that hold 0 and 1."""
    if len(data.classes) != 2:
        return
    usual = any(look.counts[1] and not look.counts[IGNORE] for look in looks)
    binary = tuple(
        f"{look.name} ({look.counts[0]} pixels of 0, {look.counts[IGNORE]} ignored, none of 1)"
        for look in looks
        if look.counts[0] and look.counts[IGNORE] and not look.counts[1]
    )
    if usual and binary:
        text = agreeing(
            len(binary),
            "{n} [mask holds|masks hold] 0 and {ignore}, where others hold 0 and 1: {ignore} is ignored, not "
            "foreground. If it was meant as foreground, save all masks alike, or give threshold=1.",
            ignore=IGNORE,
        )
        yield Finding("two_codes", "warning", text, binary)


def _classes(data: ImageData, looks: Sequence[MaskLook]) -> Iterator[Finding]:
    names = np.array(data.classes, dtype=object)
    counts = {
        split: np.sum([look.counts for look in looks if look.split == split], axis=0)[: len(names)]
        for split in data.splits
    }
    total = np.sum(list(counts.values()), axis=0)
    nowhere = tuple(names[total == 0])
    if nowhere:
        text = agreeing(
            len(nowhere),
            "{n} [class occurs|classes occur] in no mask at all. Remove [it|them] from the classes.",
        )
        yield Finding("missing_class", "warning", text, nowhere)
    for split, found in counts.items():
        absent = tuple(names[(found == 0) & (total > 0)])
        if absent and split == "train":
            text = agreeing(
                len(absent),
                "{n} [class is|classes are] in no training mask: [it|they] cannot be learned. Add some.",
            )
            yield Finding("missing_class", "error", text, absent)
        elif absent:
            text = agreeing(
                len(absent),
                "{n} [class is|classes are] in no mask of {split}: [it is|they are] not evaluated. Add some.",
                split=split,
            )
            yield Finding("missing_class", "warning", text, absent)
    train = counts["train"]
    if train.sum() > 0:
        ratio = train.max() / train[train > 0].min()
        advice = ""
        if ratio >= _UNEVEN:
            advice = " Class weights in the loss, or crops over rare classes (rare=0.5), help the small ones."
        shares = tuple(
            f"{name} {share:.2%}" for name, share in zip(data.classes, train / train.sum(), strict=True)
        )
        text = (
            f"share of the training pixels, {ratio:.3g} to 1 between most and least frequent class.{advice}"
        )
        yield Finding("pixel_share", "note", text, shares)
