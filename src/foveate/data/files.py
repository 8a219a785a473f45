"""Files with their truth become data: what folders and manifests have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from foveate.data.base import SPLITS, ImageData, Split
from foveate.data.contents import hash_files, hash_splits
from foveate.data.decode import read
from foveate.data.masks.code import Code, MaskCode, masked
from foveate.data.splits import Shares, cut


@dataclass(frozen=True)
class Entry:
    """One image file with its truth.

    Args:
        name: Path relative to the source, with forward slashes.
        path: Where it is.
        label: Its class's name; empty if it has a mask.
        split: train, val or test; None if the data comes in one piece.
        group: What it must stay together with, or None.
        masks: The files of its mask; None if it has a label.
        inside: A file that is 0 where its mask does not count, or None.
    """

    name: str
    path: Path
    label: str = ""
    split: str | None = None
    group: str | None = None
    masks: tuple[Path, ...] | None = None
    inside: Path | None = None


def data_from_entries(
    source: Path,
    entries: Sequence[Entry],
    classes: tuple[str, ...],
    *,
    seed: int,
    shares: Shares,
    options: Mapping[str, object],
    code: Code | None = None,
    palette: UInt8[np.ndarray, "k 3"] | None = None,
    notes: Sequence[str] = (),
) -> ImageData:
    """Return data of labelled or masked files, cut into splits here if none states its split.

    Args:
        source: What was opened.
        entries: The files.
        classes: Class names.
        seed: Decides the cut.
        shares: Of train, val and test.
        options: To open it again.
        code: What the pixels of the masks mean; None for labels.
        palette: Colours of the classes.
        notes: What was decided unasked.

    Raises:
        DataError: a file cannot be opened, or train or test would be empty.
        OptionError: the shares are impossible.
    """
    parts = _parts(entries, classes, seed, shares)
    notes = list(notes)
    if "test" not in parts and "val" in parts:
        parts["test"] = parts.pop("val")
        notes.append("there is no test split: validation images are the test images")
    parts = {name: sorted(parts[name], key=lambda entry: entry.name) for name in SPLITS if parts.get(name)}
    splits = {name: _split(part, classes, code) for name, part in parts.items()}
    contents = {name: _contents(part, code) for name, part in parts.items()}
    return ImageData(
        name=source.stem if source.is_file() else source.name,
        classes=classes,
        splits=splits,
        origin={"source": str(source), "seed": seed, "options": dict(options), "notes": notes},
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
    number = _numbers(classes)
    targets = np.array([number[entry.label] for entry in entries], dtype=np.int64)
    grouped = any(entry.group is not None for entry in entries)
    groups = (
        [entry.group if entry.group is not None else entry.name for entry in entries] if grouped else None
    )
    chosen = cut(targets, seed=seed, shares=shares, groups=groups)
    return {name: [entries[item] for item in items] for name, items in chosen.items()}


def _split(entries: Sequence[Entry], classes: tuple[str, ...], code: Code | None) -> Split:
    number = _numbers(classes)
    files = tuple(entry.path for entry in entries)
    single = tuple(entry.masks[0] for entry in entries if entry.masks and len(entry.masks) == 1)
    grouped = any(entry.group is not None for entry in entries)

    def mask(item: int) -> UInt8[np.ndarray, "h w"]:
        assert code is not None
        entry = entries[item]
        return masked(code, entry.masks or (), entry.path, entry.inside)

    return Split(
        names=tuple(entry.name for entry in entries),
        targets=np.array([number[entry.label] for entry in entries], dtype=np.int64),
        load=lambda item: read(files[item]),
        groups=tuple(entry.group or entry.name for entry in entries) if grouped else None,
        files=files,
        masks=None if code is None else mask,
        mask_files=single if isinstance(code, MaskCode) else None,
    )


def _numbers(classes: tuple[str, ...]) -> dict[str, int]:
    """Return each label's class; that of an image with a mask is 0."""
    return {"": 0} | {label: target for target, label in enumerate(classes)}


def _contents(entries: Sequence[Entry], code: Code | None) -> list[str]:
    """Return a hash of each item: of its image, and of its mask and what that means."""
    hashes = hash_files([entry.path for entry in entries])
    if code is None:
        return hashes
    files = hash_files([file for entry in entries for file in entry.masks or ()])
    masks, insides = iter(files), iter(hash_files([e.inside for e in entries if e.inside is not None]))
    return [
        f"{image} {' '.join(next(masks) for _ in entry.masks or ())} "
        f"{next(insides) if entry.inside is not None else ''} {code.key(entry.masks or ())}"
        for entry, image in zip(entries, hashes, strict=True)
    ]
