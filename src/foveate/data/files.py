"""Labelled files become data: what a folder and a manifest have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foveate.data.base import SPLITS, ImageData, Split
from foveate.data.contents import hash_files, hash_splits
from foveate.data.decode import read
from foveate.data.splits import Shares, cut


@dataclass(frozen=True)
class Entry:
    """One labelled file.

    Args:
        name: Path relative to the source, with forward slashes.
        path: Where it is.
        label: Its class's name.
        split: train, val or test; None if the data comes in one piece.
        group: What it must stay together with, or None.
    """

    name: str
    path: Path
    label: str
    split: str | None = None
    group: str | None = None


def data_from_entries(
    source: Path,
    entries: Sequence[Entry],
    classes: tuple[str, ...],
    *,
    seed: int,
    shares: Shares,
    options: Mapping[str, object],
) -> ImageData:
    """Return data of labelled files, cut into splits here if none states its split.

    Raises:
        DataError: a file cannot be opened, or train or test would be empty.
        OptionError: the shares are impossible.
    """
    parts = _parts(entries, classes, seed, shares)
    notes = []
    if "test" not in parts and "val" in parts:
        parts["test"] = parts.pop("val")
        notes.append("there is no test split: validation images are the test images")
    splits = {name: _split(parts[name], classes) for name in SPLITS if parts.get(name)}
    contents = {name: hash_files(split.files or ()) for name, split in splits.items()}
    return ImageData(
        name=source.stem if source.is_file() else source.name,
        classes=classes,
        splits=splits,
        origin={"source": str(source), "seed": seed, "options": dict(options), "notes": notes},
        fingerprint=hash_splits(classes, splits, contents),
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
    targets = np.array([classes.index(entry.label) for entry in entries], dtype=np.int64)
    grouped = any(entry.group is not None for entry in entries)
    groups = (
        [entry.group if entry.group is not None else entry.name for entry in entries] if grouped else None
    )
    chosen = cut(targets, seed=seed, shares=shares, groups=groups)
    return {name: [entries[item] for item in items] for name, items in chosen.items()}


def _split(entries: Sequence[Entry], classes: tuple[str, ...]) -> Split:
    number = {label: target for target, label in enumerate(classes)}
    entries = sorted(entries, key=lambda entry: entry.name)
    files = tuple(entry.path for entry in entries)
    grouped = any(entry.group is not None for entry in entries)
    return Split(
        names=tuple(entry.name for entry in entries),
        targets=np.array([number[entry.label] for entry in entries], dtype=np.int64),
        load=lambda item: read(files[item]),
        groups=tuple(entry.group or entry.name for entry in entries) if grouped else None,
        files=files,
    )
