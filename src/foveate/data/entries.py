"""From files with labels or masks to image data: what folders and manifests share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from foveate.data.base import SPLITS, ImageData, Split
from foveate.data.fingerprint import hash_splits
from foveate.data.images.common_levels import common_reading
from foveate.data.images.decode import read
from foveate.data.images.hash_files import hash_files, hash_images
from foveate.data.images.levels import SIXTEEN
from foveate.data.images.open_image import MOST_PIXELS, Reading
from foveate.data.label_sets import as_truths, strata
from foveate.data.large.content_key import content_key
from foveate.data.masks.code import Code, MaskCode, masked
from foveate.data.masks.scan_masks import MaskScan
from foveate.data.printable import printable
from foveate.data.splits import Shares, cut


@dataclass(frozen=True)
class Entry:
    """One image file with its label, labels or mask.

    Args:
        name: Path relative to the source, with forward slashes.
        path: Where it is.
        label: Its class's name; empty if it has a mask or several labels.
        split: train, val or test; None if the data comes in one piece.
        group: Items of one group stay in one split; or None.
        masks: The files of its mask; None if it has a label.
        inside: A file that is 0 where its mask does not count, or None.
        labels: The names of its classes, if there may be several.
        boxes: Boxes of what decides its label, or None; see ``Split``.
    """

    name: str
    path: Path
    label: str = ""
    split: str | None = None
    group: str | None = None
    masks: tuple[Path, ...] | None = None
    inside: Path | None = None
    labels: tuple[str, ...] | None = None
    boxes: tuple[tuple[int, int, int, int], ...] | None = None


def data_from_entries(
    source: Path,
    entries: Sequence[Entry],
    classes: tuple[str, ...],
    *,
    seed: int,
    shares: Shares,
    options: Mapping[str, object],
    code: Code | None = None,
    scan: MaskScan | None = None,
    palette: UInt8[np.ndarray, "k 3"] | None = None,
    notes: Sequence[str] = (),
    max_pixels: int = MOST_PIXELS,
    large: bool = False,
) -> ImageData:
    """Return data of labelled or masked files, cut into splits if they state none.

    Args:
        source: What was opened.
        entries: The files.
        classes: Class names.
        seed: Decides the cut.
        shares: Of train, val and test.
        options: To open it again.
        code: What the pixels of the masks mean; None for labels.
        scan: The mask files and what was read of them so far.
        palette: Colours of the classes.
        notes: What was decided by default.
        max_pixels: Pixels of the largest picture that is decoded.
        large: Whether pictures are to be read in parts: none is decoded here; see ``in_parts``.

    Raises:
        DataError: a file cannot be opened, or train or test would be empty.
        OptionError: the shares are impossible.
    """
    entries, classes = [_printable(entry) for entry in entries], tuple(map(printable, classes))
    parts = _parts(entries, classes, seed, shares)
    files = [entry.path for entry in entries]
    how, said = (Reading(SIXTEEN, max_pixels), ()) if large else common_reading(files, max_pixels)
    notes = [*notes, *said]
    options = dict(options) | ({"max_pixels": max_pixels} if max_pixels != MOST_PIXELS else {})
    options |= {"large": True} if large else {}
    if "test" not in parts and "val" in parts:
        parts["test"] = parts.pop("val")
        notes.append("there is no test split: validation images are the test images")
    parts = {name: sorted(parts[name], key=lambda entry: entry.name) for name in SPLITS if parts.get(name)}
    splits = {name: _split(part, classes, code, how) for name, part in parts.items()}
    contents = {
        name: [content_key(entry.path, how) for entry in part]
        if large
        else _contents(part, code, scan or MaskScan(()), how)
        for name, part in parts.items()
    }
    return ImageData(
        name=printable(source.stem if source.is_file() else source.name),
        classes=classes,
        splits=splits,
        origin={"source": printable(str(source)), "seed": seed, "options": options, "notes": notes},
        fingerprint=hash_splits(classes, splits, contents),
        palette=palette,
    )


def _parts(
    entries: Sequence[Entry], classes: tuple[str, ...], seed: int, shares: Shares
) -> dict[str, list[Entry]]:
    parts: dict[str, list[Entry]] = {}
    if all(entry.split is not None for entry in entries):
        for entry in entries:
            parts.setdefault(str(entry.split), []).append(entry)
        return parts
    # Sorted first: the cut depends on the set of files and the seed, not on the order of a listing.
    entries = sorted(entries, key=lambda entry: entry.name)
    targets = strata(_targets(entries, classes))
    grouped = any(entry.group is not None for entry in entries)
    groups = (
        [entry.group if entry.group is not None else entry.name for entry in entries] if grouped else None
    )
    chosen = cut(targets, seed=seed, shares=shares, groups=groups)
    return {name: [entries[item] for item in items] for name, items in chosen.items()}


def _split(entries: Sequence[Entry], classes: tuple[str, ...], code: Code | None, how: Reading) -> Split:
    files = tuple(entry.path for entry in entries)
    single = tuple(entry.masks[0] for entry in entries if entry.masks and len(entry.masks) == 1)
    grouped = any(entry.group is not None for entry in entries)

    def mask(item: int) -> UInt8[np.ndarray, "h w"]:
        assert code is not None
        entry = entries[item]
        return masked(code, entry.masks or (), entry.path, entry.inside)

    boxed = [entry.boxes for entry in entries if entry.boxes is not None]
    return Split(
        names=tuple(entry.name for entry in entries),
        targets=_targets(entries, classes),
        load=lambda item: read(files[item], how),
        groups=tuple(entry.group or entry.name for entry in entries) if grouped else None,
        files=files,
        masks=None if code is None else mask,
        mask_files=single if isinstance(code, MaskCode) else None,
        how=how,
        boxes=(lambda item: np.array(boxed[item], dtype=np.int64).reshape(-1, 4))
        if len(boxed) == len(entries)
        else None,
    )


def _targets(entries: Sequence[Entry], classes: tuple[str, ...]) -> Int64[np.ndarray, "n ..."]:
    """Return each item's class (0 for an image with a mask), or 0 or 1 for every class."""
    several = [entry.labels for entry in entries if entry.labels is not None]
    if several:
        return as_truths(several, classes)
    number = {"": 0} | {label: target for target, label in enumerate(classes)}
    return np.array([number[entry.label] for entry in entries], dtype=np.int64)


def _printable(entry: Entry) -> Entry:
    labels = None if entry.labels is None else tuple(map(printable, entry.labels))
    return replace(entry, name=printable(entry.name), label=printable(entry.label), labels=labels)


def _contents(entries: Sequence[Entry], code: Code | None, scan: MaskScan, how: Reading) -> list[str]:
    """Return a hash of each item: its image and levels, its mask and their coding."""
    hashes = hash_images([entry.path for entry in entries], how)
    if code is None:
        return hashes
    files = scan.digests([file for entry in entries for file in entry.masks or ()], how.max_pixels)
    masks, insides = iter(files), iter(hash_files([e.inside for e in entries if e.inside is not None]))
    return [
        f"{image} {' '.join(next(masks) for _ in entry.masks or ())} "
        f"{next(insides) if entry.inside is not None else ''} {code.key(entry.masks or ())}"
        for entry, image in zip(entries, hashes, strict=True)
    ]


def plain(options: Mapping[str, object]) -> dict[str, object]:
    """Return the options that were given, in JSON's types."""
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
