"""From files and their boxes, as a format states them, to data: what all formats share.

Boxes are checked against their pictures, whose sizes are read from the heads of the files. A box beyond the
border is cut off there. One that is inverted, lies outside or has no area cannot be used: it is left out, and
a finding names it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from foveate.data.base import SPLITS, ImageData, Split
from foveate.data.boxes.box_data import BoxData, present
from foveate.data.boxes.boxes import Boxes
from foveate.data.checks.finding import Finding
from foveate.data.fingerprint import hash_splits
from foveate.data.images.common_levels import common_reading
from foveate.data.images.decode import read
from foveate.data.images.hash_files import hash_images
from foveate.data.images.open_image import MOST_PIXELS, TURNS, Reading, opened, orientation, upright_size
from foveate.data.label_sets import strata
from foveate.data.printable import printable
from foveate.data.splits import Shares, cut
from foveate.errors import DataError, first_few
from foveate.quantities import agreeing

_PLAY = 1.0  # pixels; rounding alone puts a box this far beyond the border


@dataclass(frozen=True)
class BoxEntry:
    """One picture with its boxes as a format states them.

    Args:
        name: Unique; a relative path.
        path: Its file.
        boxes: Left, top, right, bottom of each, in pixels; or as shares of width and height, if ``relative``.
        labels: The number of each one's class.
        crowd: Whether each is not learnt and not counted; none if empty.
        area: Square pixels of each object; that of its box where nan, and of all if empty.
        split: train, val or test; "" if nothing says.
        group: Pictures of one group stay in one split; or None.
        size: Height and width that the format states, if it does.
        relative: Whether boxes are shares of width and height.
    """

    name: str
    path: Path
    boxes: Sequence[Sequence[float]]
    labels: Sequence[int]
    crowd: Sequence[bool] = ()
    area: Sequence[float] = ()
    split: str = ""
    group: str | None = None
    size: tuple[int, int] | None = None
    relative: bool = False


@dataclass(frozen=True)
class Annotated:
    """What a file or folder of annotations holds.

    Args:
        classes: Their names.
        entries: The pictures.
        categories: The number that the annotations give each class.
        notes: What was decided by default.
        warnings: What was left out.
    """

    classes: tuple[str, ...]
    entries: tuple[BoxEntry, ...]
    categories: tuple[int, ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass
class _Faults:
    """Boxes with something wrong, by kind."""

    found: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, name: str) -> None:
        self.found.setdefault(kind, []).append(name)

    def findings(self) -> Iterator[Finding]:
        for kind, (severity, text) in _FAULTS.items():
            names = tuple(self.found.get(kind, ()))
            if names:
                yield Finding(kind, severity, agreeing(len(names), text), names)  # type: ignore[arg-type]


_FAULTS = {
    "inverted_box": (
        "error",
        "{n} [box ends|boxes end] before [it starts|they start] and [is|are] left out. Are the columns left, "
        "top, right, bottom, or is it width and height? Correct [it|them].",
    ),
    "box_outside": (
        "error",
        "{n} [box lies|boxes lie] outside [its picture|their pictures] and [is|are] left out. Are the "
        "annotations of these pictures, at this size? Correct [it|them].",
    ),
    "empty_box": (
        "warning",
        "{n} [box has|boxes have] no area and [is|are] left out. Remove [it|them].",
    ),
    "box_beyond": (
        "warning",
        "{n} [box reaches|boxes reach] beyond the border and [is|are] cut off there.",
    ),
    "duplicate_box": (
        "warning",
        "{n} [box is|boxes are] there twice, with the same class: one of the two can never be found. Remove "
        "it.",
    ),
}


def data_from_boxes(
    source: Path,
    found: Annotated,
    *,
    seed: int,
    shares: Shares,
    options: Mapping[str, object],
    max_pixels: int = MOST_PIXELS,
) -> BoxData:
    """Return data of pictures with boxes, cut into splits if they state none.

    Args:
        source: What was opened.
        found: What it holds.
        seed: Decides the cut.
        shares: Of train, val and test.
        options: To open it again.
        max_pixels: Pixels of the largest picture that is decoded.

    Raises:
        DataError: A picture is of another size than its annotations state, a file cannot be opened, or a
            split would be empty.
    """
    faults, notes = _Faults(), list(found.notes)
    entries = sorted(found.entries, key=lambda entry: entry.name)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        grids = list(pool.map(partial(_grid, max_pixels), entries))
    _expect_sizes(source, entries, [grid.problem for grid in grids])
    boxes = {entry.name: _usable(entry, grid, faults) for entry, grid in zip(entries, grids, strict=True)}
    parts = _parts(entries, boxes, len(found.classes), seed, shares, notes)
    how, said = common_reading([entry.path for entry in entries], max_pixels)
    parts = {name: parts[name] for name in SPLITS if parts.get(name)}
    splits = {name: _split(part, how) for name, part in parts.items()}
    contents = {name: hash_images([entry.path for entry in part], how) for name, part in parts.items()}
    classes = tuple(printable(name) for name in found.classes)
    findings = tuple(faults.findings())
    images = ImageData(
        name=printable(source.stem if source.is_file() else source.name),
        classes=classes,
        splits=splits,
        origin={
            "source": printable(str(source)),
            "seed": seed,
            "options": {"shares": list(shares), **options}
            | ({"max_pixels": max_pixels} if max_pixels != MOST_PIXELS else {}),
            "notes": [*notes, *said],
            "warnings": list(found.warnings),
        },
        fingerprint=hash_splits(classes, splits, contents),
    )
    truths = {name: tuple(boxes[entry.name] for entry in part) for name, part in parts.items()}
    return BoxData(images, truths, found.categories, findings)


@dataclass(frozen=True)
class _Grid:
    """The pixels that boxes are stated on.

    Args:
        size: Height and width; None if the picture cannot be read.
        turn: How the boxes are turned with the picture, if they were drawn before EXIF turns it.
        problem: That the annotations state another size, or "".
    """

    size: tuple[int, int] | None
    turn: Image.Transpose | None = None
    problem: str = ""


def _grid(max_pixels: int, entry: BoxEntry) -> _Grid:
    try:
        with opened(entry.path, max_pixels) as file:
            turn = TURNS.get(orientation(file)) if file.format != "TIFF" else None
            size = upright_size(file)
    except DataError:  # a finding of the check, and an error when it is read
        return _Grid(entry.size)
    if entry.size in (None, size):
        return _Grid(size)
    if turn is not None and entry.size == size[::-1]:
        return _Grid(entry.size, turn)
    stated = f"{entry.size[1]}x{entry.size[0]}" if entry.size else ""
    return _Grid(size, problem=f"{entry.name} ({stated} stated, {size[1]}x{size[0]} found)")


def _expect_sizes(source: Path, entries: Sequence[BoxEntry], problems: Sequence[str]) -> None:
    odd = [problem for problem in problems if problem]
    if odd:
        raise DataError(
            f"{source}: {len(odd)} of {len(entries)} pictures are of another size than their annotations "
            f"state: {first_few(odd, 3)}. Give the pictures that were annotated, or export the annotations "
            "again."
        )


def _usable(entry: BoxEntry, grid: _Grid, faults: _Faults) -> Boxes:
    """Return the boxes that can be used, upright and within the picture."""
    height, width = grid.size or (np.inf, np.inf)
    corners = np.asarray(entry.boxes, dtype=np.float64).reshape(-1, 4)
    if entry.relative:
        corners = corners * np.array([width, height, width, height]) if grid.size else corners[:0]
    kept, cut_off = [], corners.clip(0, [width, height, width, height])
    for number, (stated, inside) in enumerate(zip(corners, cut_off, strict=True)):
        name = f"{entry.name}, box {number}"
        if (stated[2:] < stated[:2]).any():
            faults.add("inverted_box", name)
        elif (stated[2:] == stated[:2]).any():
            faults.add("empty_box", name)
        elif (inside[2:] <= inside[:2]).any():
            faults.add("box_outside", name)
        else:
            if (np.abs(stated - inside) > _PLAY).any():
                faults.add("box_beyond", name)
            kept.append(number)
    if not entry.relative or grid.size:
        chosen = np.array(kept, dtype=np.int64)
        labels = np.asarray(entry.labels, dtype=np.int64)[chosen]
        found = Boxes.of(
            cut_off[chosen],
            labels,
            np.asarray(entry.crowd, dtype=bool)[chosen] if len(entry.crowd) else None,
            np.asarray(entry.area, dtype=np.float64)[chosen] if len(entry.area) else None,
        )
    else:
        found = Boxes.of([], [])
    _note_twins(entry.name, found, faults)
    return found if grid.turn is None or grid.size is None else _turned(found, grid.turn, grid.size)


def _note_twins(name: str, boxes: Boxes, faults: _Faults) -> None:
    rows = np.column_stack([boxes.boxes, boxes.labels])
    _, first = np.unique(rows, axis=0, return_index=True)
    for number in np.setdiff1d(np.arange(len(rows)), first).tolist():
        faults.add("duplicate_box", f"{name}, box {number}")


def _turned(boxes: Boxes, turn: Image.Transpose, size: tuple[int, int]) -> Boxes:
    """Return boxes turned with their picture, whose size before is given."""
    height, width = size
    x, y = boxes.boxes[:, [0, 2]], boxes.boxes[:, [1, 3]]
    kind = Image.Transpose
    places = {
        kind.FLIP_LEFT_RIGHT: (width - x, y),
        kind.ROTATE_180: (width - x, height - y),
        kind.FLIP_TOP_BOTTOM: (x, height - y),
        kind.TRANSPOSE: (y, x),
        kind.ROTATE_270: (height - y, x),
        kind.TRANSVERSE: (height - y, width - x),
        kind.ROTATE_90: (y, width - x),
    }
    across, down = (np.sort(part, axis=1) for part in places[turn])
    corners = np.stack([across[:, 0], down[:, 0], across[:, 1], down[:, 1]], axis=1)
    return replace(boxes, boxes=corners)


def _parts(
    entries: Sequence[BoxEntry],
    boxes: Mapping[str, Boxes],
    classes: int,
    seed: int,
    shares: Shares,
    notes: list[str],
) -> dict[str, list[BoxEntry]]:
    """Return the pictures of each split; cut by the seed if all are train, or nothing says."""
    if {entry.split for entry in entries} <= {"", "train"}:
        if any(entry.split for entry in entries):
            notes.append("only train has annotations: it is cut into train, val and test")
        kinds = strata(present(tuple(boxes[entry.name] for entry in entries), classes))
        grouped = any(entry.group is not None for entry in entries)
        groups = [entry.group or entry.name for entry in entries] if grouped else None
        chosen = cut(kinds, seed=seed, shares=shares, groups=groups)
        return {name: [entries[item] for item in items] for name, items in chosen.items()}
    parts: dict[str, list[BoxEntry]] = {}
    for entry in entries:
        if not entry.split:
            raise DataError(
                f"{entry.name}: in no split, while other pictures are in one. Put it into train, val or test."
            )
        parts.setdefault(entry.split, []).append(entry)
    if "test" not in parts and "val" in parts:
        parts["test"] = parts.pop("val")
        notes.append("there is no test split: validation images are the test images")
    return parts


def _split(entries: Sequence[BoxEntry], how: Reading) -> Split:
    files = tuple(entry.path for entry in entries)
    grouped = any(entry.group is not None for entry in entries)
    return Split(
        names=tuple(printable(entry.name) for entry in entries),
        targets=np.zeros(len(entries), dtype=np.int64),
        load=lambda item: read(files[item], how),
        groups=tuple(entry.group or entry.name for entry in entries) if grouped else None,
        files=files,
        how=how,
    )
