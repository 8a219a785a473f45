"""A manifest: a CSV or Parquet table with the columns path, label or mask and, if wanted, split and group.

    path,label,split,group            path,mask,split,group
    images/1.png,cat,train,patient-7  images/1.png,masks/1.png,train,patient-7

Paths are relative to the manifest. Without split, the table is cut by a seed, stratified, without tearing
groups.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from foveate.data.base import ImageData
from foveate.data.files import Entry, data_from_entries
from foveate.data.folder_names import split_named
from foveate.data.masks.class_table import Colours, Names
from foveate.data.masks.folder import plain
from foveate.data.masks.infer_code import Ignored, MaskOptions, infer_code
from foveate.data.splits import SHARES, Shares
from foveate.errors import DataError, MissingExtraError, OptionError, nearest

COLUMNS = ("path", "label", "mask", "split", "group")
_SHOWN = 5  # offenders named in an error; more would hide what to do
_HEADER = 1  # the first row of data is line 2

Row = dict[str, str]


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
) -> ImageData:
    """Open a table of files with labels or masks.

    Args:
        path: A .csv, .tsv or .parquet file.
        seed: Decides the cut if the table has no column split.
        shares: Of train, val and test, likewise.
        classes: What the masks mean, as for ``open_mask_folder``; likewise the following.
        ignore_index: Values that do not count.
        colours: Colour table of RGB masks.
        background: Name of what nothing claims.
        threshold: Grey level from which on a pixel is foreground.

    Raises:
        DataError: a column, cell or file is missing, a file is listed twice, or a group is in two splits; or
            nobody can tell what a mask means.
        OptionError: options for masks, but the table has labels; or they contradict each other.
        MissingExtraError: Parquet needs pyarrow.
    """
    asked = MaskOptions(classes, ignore_index, colours, background, threshold)
    path = path.resolve()
    rows = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_text(path)
    _check_columns(path, rows)
    _check_cells(path, rows)
    entries = [_entry(path, line, row) for line, row in enumerate(rows, start=_HEADER + 1)]
    _check_files(path, entries)
    _check_groups(path, entries)
    options: dict[str, object] = {} if "split" in rows[0] else {"shares": list(shares)}
    if "mask" in rows[0]:
        found = infer_code(path.parent, [file for entry in entries for file in entry.masks or ()], asked)
        return data_from_entries(
            path,
            entries,
            found.code.classes,
            seed=seed,
            shares=shares,
            options=options | plain(vars(asked)),
            code=found.code,
            palette=found.palette,
            notes=found.notes,
        )
    if asked != MaskOptions():
        given = ", ".join(plain(vars(asked)))
        raise OptionError(f"manifest: {given} is for masks, but {path.name} has labels. Leave it out.")
    labels = {entry.label for entry in entries}
    # 2 before 10, if every label is a number.
    classes = tuple(sorted(labels, key=int) if all(label.isdecimal() for label in labels) else sorted(labels))
    return data_from_entries(path, entries, classes, seed=seed, shares=shares, options=options)


def _read_text(path: Path) -> list[Row]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
            return [
                {key.strip(): (value or "").strip() for key, value in row.items() if isinstance(key, str)}
                for row in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: cannot be read as a table ({error}). Save it as UTF-8 text with commas."
        ) from None


def _read_parquet(path: Path) -> list[Row]:
    try:
        from pyarrow import ArrowException, parquet  # type: ignore[import-untyped]
    except ImportError:
        raise MissingExtraError("pyarrow", "parquet", "reading a Parquet manifest") from None
    try:
        table = parquet.read_table(path)
    except (ArrowException, OSError) as error:
        raise DataError(
            f"{path}: cannot be read as Parquet ({error}). Write it again, or give a .csv."
        ) from None
    return [
        {key: "" if cell is None else str(cell) for key, cell in row.items()} for row in table.to_pylist()
    ]


def _check_columns(path: Path, rows: Sequence[Row]) -> None:
    if not rows:
        raise DataError(f"{path}: has no rows. Write a header path,label,split,group and one row per image.")
    if "label" in rows[0] and "mask" in rows[0]:
        raise DataError(
            f"{path}: has both columns label and mask. Leave one out: it is the truth to be found."
        )
    for column in ("path",) if "mask" in rows[0] else ("path", "label"):
        if column not in rows[0]:
            raise DataError(
                f"{path}: has no column {column}. {nearest(column, rows[0])} Columns are path, label or "
                "mask and, if wanted, split and group."
            )


def _check_cells(path: Path, rows: Sequence[Row]) -> None:
    for column in (name for name in COLUMNS[:4] if name in rows[0]):
        empty = [line for line, row in enumerate(rows, start=_HEADER + 1) if not row.get(column)]
        if empty:
            raise DataError(f"{path}: column {column} is empty in {_listed('line', empty)}. Fill it in.")


def _entry(manifest: Path, line: int, row: Row) -> Entry:
    split = None
    if "split" in row:
        split = split_named(row["split"])
        if split is None:
            raise DataError(
                f'{manifest}, line {line}: split "{row["split"]}" is unknown. Write train, val or test.'
            )
    folder, mask = manifest.parent, row.get("mask")
    return Entry(
        row["path"],
        folder / row["path"],
        row.get("label", ""),
        split,
        row.get("group") or None,
        (folder / mask,) if mask else None,
    )


def _check_files(path: Path, entries: Sequence[Entry]) -> None:
    missing = [entry.name for entry in entries if not entry.path.is_file()]
    missing += [str(file) for entry in entries for file in entry.masks or () if not file.is_file()]
    if missing:
        raise DataError(f"{path}: {_listed('no such file:', missing)}. Paths are relative to {path.parent}.")
    lines: dict[str, list[int]] = {}
    for line, entry in enumerate(entries, start=_HEADER + 1):
        lines.setdefault(entry.name, []).append(line)
    twice = [f"{name} (lines {', '.join(map(str, at))})" for name, at in lines.items() if len(at) > 1]
    if twice:
        raise DataError(f"{path}: {_listed('listed more than once:', twice)}. Keep one row per image.")


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
            f"{path}: {_listed('group in more than one split:', torn)}. Move each group into one split, "
            "or drop the column split and let foveate cut the data."
        )


def _listed(what: str, offenders: Sequence[object]) -> str:
    shown = ", ".join(str(offender) for offender in offenders[:_SHOWN])
    more = f" and {len(offenders) - _SHOWN} more" if len(offenders) > _SHOWN else ""
    return f"{what} {shown}{more}"
