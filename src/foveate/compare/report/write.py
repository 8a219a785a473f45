"""The files of a report: the page, the numbers as JSON and CSV, the pictures, the figure.

Each is written beside its place and then moved there, so that no reader ever meets half a file.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foveate.compare.report.figure import draw
from foveate.compare.report.page import render
from foveate.compare.report.result import Result, complete, plain_data, read_result
from foveate.errors import StudyError
from foveate.files import write_bytes

_FORMULA = tuple("=+-@|%＝＋－＠")  # also the wide forms, which some spreadsheets take for the same
FILES = ("study.json", "pictures.json", "runs.csv", "figure.png", "figure.svg", "report.html")
COLUMNS = ("variant", "seed", "score", "seconds", "images_per_second", "steps", "parameters")


def write_report(result: Result, folder: Path) -> Path:
    """Write ``report.html`` and what stands beside it, and return its path.

    Beside it: ``study.json`` (all but the pictures), ``pictures.json`` (if the result has pictures, so that
    the page can be made again without any model), ``runs.csv``, ``figure.png`` and ``figure.svg``.

    Args:
        result: The plain data of a study.
        folder: Where; made if it is missing. What it holds under these names is replaced.

    Raises:
        StudyError: A file cannot be written.
    """
    folder = Path(folder)
    numbers = {key: value for key, value in plain_data(result).items() if key != "pictures"}
    texts = {"study.json": _json(numbers), "runs.csv": _csv(result.get("runs", []))}
    if "pictures" in result:
        texts["pictures.json"] = _json(plain_data(result["pictures"]))
    files = {name: _bytes(text) for name, text in texts.items()}
    files |= {f"figure.{kind}": data for kind, data in draw(complete(result)).items()}
    files["report.html"] = _bytes(render(result))  # last: where it is, the rest is too
    for name, data in files.items():
        _put(folder / name, data)
    return folder / "report.html"


def is_written(folder: Path) -> bool:
    """Return whether all that ``write_report`` writes for a study is there, and its numbers can be read."""
    try:
        read_result(folder)
        return all((folder / name).stat().st_size > 0 for name in FILES)
    except (OSError, StudyError):
        return False


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _bytes(text: str) -> bytes:
    """Encode as UTF-8; bytes of a file name that are not text, to Python lone surrogates, become escapes."""
    return text.encode("utf-8", errors="backslashreplace")


def _csv(runs: Sequence[Mapping[str, Any]]) -> str:
    """Write one row a run: the usual columns first, then whatever else the runs have."""
    others = dict.fromkeys(key for run in runs for key in run if key not in COLUMNS)
    text = io.StringIO(newline="")
    columns = [*COLUMNS, *others]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_cell, columns))
    for run in plain_data(list(runs)):
        writer.writerow([_cell(run.get(column, "")) for column in columns])
    return text.getvalue()


def _cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula: text that begins like one gets an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.lstrip()[:1] in _FORMULA else value


def _put(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, data)
    except OSError as error:
        text = f"{path}: cannot be written ({error}). Make room or give another folder; no run is lost."
        raise StudyError(text) from None
