"""A manifest: a CSV or Parquet table with the columns path, label or mask and, if wanted, split and group.

    path,label,split,group            path,mask,split,group
    images/1.png,cat,train,patient-7  images/1.png,masks/1.png,train,patient-7

An image may have several labels: in one cell, or as a column of 0 and 1 for each.

    path,label                        path,effusion,mass,nodule
    images/1.png,effusion|mass        images/1.png,1,1,0

Paths are relative to the manifest. Without split, the table is cut by a seed, stratified, without tearing
groups.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from foveate.data.base import ImageData
from foveate.data.entries import Entry, data_from_entries, plain
from foveate.data.folders.name_words import split_named
from foveate.data.images.open_image import MOST_PIXELS
from foveate.data.label_sets import held, parted, truth_of, without_none
from foveate.data.masks.class_table import Colours, Names
from foveate.data.masks.infer_code import Ignored, MaskOptions, infer_code
from foveate.data.masks.scan_masks import MaskScan
from foveate.data.printable import printable
from foveate.data.splits import SHARES, Shares
from foveate.data.tables.label_columns import COLUMNS, cells_of, label_columns, refuse_column, whole_labels
from foveate.data.tables.table import OLD, Row, Table, read_table
from foveate.errors import DataError, OptionError, first_few

BOXES = "boxes"  # the column


def open_manifest(
    path: Path,
    *,
    seed: int = 0,
    shares: Shares = SHARES,
    classes: Names | None = None,
    ignore_index: Ignored | None = None,
    colours: Colours | None = None,
    background: str | None = None,
    threshold: int | None = None,
    separator: str | None = None,
    labels: Sequence[str] | str | None = None,
    max_pixels: int = MOST_PIXELS,
    large: bool = False,
) -> ImageData:
    """Open a table of files with labels or masks.

    Args:
        path: A .csv, .tsv or .parquet file.
        seed: Decides the cut if the table has no column split.
        shares: Of train, val and test, likewise.
        classes: What the masks mean, as for ``open_mask_folder``; likewise the following.
        ignore_index: Values that do not count.
        colours: Colour table of RGB masks.
        background: Name of class 0, or of all colours that the table leaves out.
        threshold: Grey level at and above which a pixel is foreground.
        separator: What separates the labels of an image. "|" is recognised by itself; "" takes every cell as
            one label.
        labels: The columns of 0 and 1 that are labels (a sequence, or one text with commas); all but path,
            split and group if None, in a table without the columns label and mask.
        max_pixels: Pixels of the largest picture that is decoded.
        large: Whether pictures are read in parts, not decoded whole. A column ``boxes`` then says where what
            decides the label is: top, left, bottom and right in pixels, with ";" between boxes.

    Raises:
        DataError: a column, cell or file is missing, a file is listed twice, or a group is in two splits; a
            label is a fraction or NaN; or the coding of the masks cannot be inferred.
        OptionError: options for masks, but the table has labels, or the other way round; or they contradict
            each other.
        MissingExtraError: Parquet needs pyarrow.
    """
    asked = MaskOptions(classes, ignore_index, colours, background, threshold)
    path = path.resolve()
    table = _named(path, read_table(path))
    chosen = label_columns(path, table, labels)
    _check_cells(path, table, chosen)
    entries = [_entry(path, line, row) for line, row in zip(table.lines, table.rows, strict=True)]
    _check_files(path, entries, table)
    _check_groups(path, entries)
    options: dict[str, object] = {} if "split" in table.columns else {"shares": list(shares)}
    notes = [f"the table is not UTF-8 and is read as {OLD}"] if table.encoding == OLD else []
    if "mask" in table.columns and not chosen:
        if large:
            raise OptionError(f"manifest: large is for labels, but {path.name} has masks. Leave it out.")
        if separator is not None:
            raise OptionError(f"manifest: separator is for labels, but {path.name} has masks. Leave it out.")
        scan = MaskScan([file for entry in entries for file in entry.masks or ()])
        found = infer_code(path.parent, scan, asked)
        return data_from_entries(
            path,
            entries,
            found.code.classes,
            seed=seed,
            shares=shares,
            options=options | plain(vars(asked)),
            code=found.code,
            scan=scan,
            palette=found.palette,
            notes=[*notes, *found.notes],
            max_pixels=max_pixels,
        )
    if asked != MaskOptions():
        given = ", ".join(plain(vars(asked)))
        raise OptionError(f"manifest: {given} is for masks, but {path.name} has labels. Leave it out.")
    entries, names, said = _labelled(path, table, entries, chosen, separator)
    entries = _boxed(path, table, entries) if large else entries
    options |= {} if separator is None else {"separator": separator}
    options |= {} if labels is None else {"labels": list(chosen)}
    return data_from_entries(
        path,
        entries,
        names,
        seed=seed,
        shares=shares,
        options=options,
        notes=[*notes, *said],
        max_pixels=max_pixels,
        large=large,
    )


def _named(path: Path, table: Table) -> Table:
    """Return the table with the columns that mean something in lower case."""
    if not table.rows:
        raise DataError(f"{path}: has no rows. Write a header path,label,split,group and one row per image.")
    known = {name: name.lower() for name in table.columns if name.lower() in COLUMNS}
    if len(set(known.values())) < len(known):
        raise DataError(f"{path}: two columns differ in capitals alone ({', '.join(known)}). Rename one.")
    rows = [{known.get(name, name): cell for name, cell in row.items()} for row in table.rows]
    columns = tuple(known.get(name, name) for name in table.columns)
    if "path" not in columns:
        refuse_column(path, "path", columns)
    return replace(table, columns=columns, rows=rows)


def _check_cells(path: Path, table: Table, chosen: Sequence[str]) -> None:
    needed = ("path", "split") if chosen else COLUMNS[:4]
    for column in (name for name in needed if name in table.columns):
        empty = [line for line, cell in cells_of(table, column) if not cell]
        if empty:
            raise DataError(f"{path}: column {column} is empty in line {first_few(empty)}. Fill it in.")
    for column in chosen:
        odd = [f'{line}: "{cell}"' for line, cell in cells_of(table, column) if truth_of(cell) is None]
        if odd:
            raise DataError(
                f"{path}: column {column} is neither 0 nor 1 in line {first_few(odd)}. Decide, or leave the "
                "rows out."
            )


def _labelled(
    path: Path, table: Table, entries: list[Entry], chosen: Sequence[str], separator: str | None
) -> tuple[list[Entry], tuple[str, ...], list[str]]:
    """Return the entries with their labels, the classes, and notes on what was decided by default."""
    if chosen:
        several = held(table.rows, chosen)
        return _with(entries, several), tuple(chosen), [f"labels are the columns {', '.join(chosen)}"]
    texts = [row["label"] for row in table.rows]
    parts = parted(texts, separator)
    if parts is None:
        labels = whole_labels(path, table, texts)
        classes = sorted(set(labels))
        if all(label.isascii() and label.isdecimal() for label in labels):
            classes.sort(key=int)
        return (
            [replace(entry, label=label) for entry, label in zip(entries, labels, strict=True)],
            tuple(classes),
            [],
        )
    kept = without_none(parts)
    notes = (
        []
        if separator
        else ['"|" separates the labels of an image; separator="" takes the cell as one label']
    )
    notes += ['"No Finding" is not a class: it means that no label applies'] if kept != parts else []
    names = sorted({label for some in kept for label in some})
    if not names:
        raise DataError(f"{path}: no row has a label. Fill in the column label.")
    return _with(entries, kept), tuple(names), notes


def _boxed(path: Path, table: Table, entries: list[Entry]) -> list[Entry]:
    """Return the entries with the boxes of the column of that name, if there is one."""
    if BOXES not in table.columns:
        return entries
    found = []
    for line, row, entry in zip(table.lines, table.rows, entries, strict=True):
        try:
            boxes = tuple(tuple(map(int, box.split())) for box in row[BOXES].split(";") if box.strip())
        except ValueError:
            boxes = ((0,),)
        if not all(len(box) == 4 and box[0] < box[2] and box[1] < box[3] for box in boxes):
            raise DataError(
                f'{path}, line {line}: boxes "{row[BOXES]}" are not four whole numbers each: top, left, '
                'bottom and right, such as "10 20 38 48; 100 50 128 78".'
            )
        found.append(replace(entry, boxes=boxes))  # type: ignore[arg-type]
    return found


def _with(entries: Sequence[Entry], labels: Sequence[tuple[str, ...]]) -> list[Entry]:
    return [replace(entry, masks=None, labels=some) for entry, some in zip(entries, labels, strict=True)]


def _entry(manifest: Path, line: int, row: Row) -> Entry:
    split = None
    if "split" in row:
        split = split_named(row["split"])
        if split is None:
            raise DataError(
                f'{manifest}, line {line}: split "{row["split"]}" is unknown. Write train, val or test.'
            )
    file, mask = _file(manifest.parent, row["path"]), row.get("mask")
    return Entry(
        row["path"] if file == manifest.parent / row["path"] else row["path"].replace("\\", "/"),
        file,
        "",
        split,
        row.get("group") or None,
        (_file(manifest.parent, mask),) if mask else None,
    )


def _file(folder: Path, name: str) -> Path:
    """Return a file's path: its name as written, with backslashes turned, or encoded in Windows-1252."""
    turned = name.replace("\\", "/")
    found = next((folder / written for written in (name, turned) if _is_file(folder / written)), None)
    if found is None and not name.isascii():
        try:
            old = folder / os.fsdecode(turned.encode(OLD))
        except UnicodeEncodeError:
            old = folder / name
        found = old if _is_file(old) else None
    return found or folder / name


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, a zero byte or half a character in it: not the name of a file
        return False


def _check_files(path: Path, entries: Sequence[Entry], table: Table) -> None:
    missing = [printable(entry.name) for entry in entries if not _is_file(entry.path)]
    masks = [file for entry in entries for file in entry.masks or ()]
    missing += [printable(str(file)) for file in masks if not _is_file(file)]
    if missing:
        raise DataError(f"{path}: no such file: {first_few(missing)}. Paths are relative to {path.parent}.")
    lines: dict[str, list[int]] = {}
    for line, entry in zip(table.lines, entries, strict=True):
        lines.setdefault(entry.name, []).append(line)
    twice = [f"{name} (lines {', '.join(map(str, at))})" for name, at in lines.items() if len(at) > 1]
    if twice:
        raise DataError(f"{path}: listed more than once: {first_few(twice)}. Keep one row per image.")


def _check_groups(path: Path, entries: Sequence[Entry]) -> None:
    splits: dict[str, set[str]] = {}
    for entry in entries:
        if entry.group is not None and entry.split is not None:
            splits.setdefault(entry.group, set()).add(entry.split)
    torn = [
        f"{group} ({', '.join(sorted(where))})" for group, where in sorted(splits.items()) if len(where) > 1
    ]
    if torn:
        raise DataError(
            f"{path}: group in more than one split: {first_few(torn)}. Move each group into one split, "
            "or drop the column split and let foveate cut the data."
        )
