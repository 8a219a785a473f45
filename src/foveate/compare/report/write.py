"""The files of a report: the page, the numbers as JSON and CSV, the pictures, the figure.

Each is written under a temporary name and then renamed, so that no reader ever sees half a file.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foveate.compare.report.cards import expect_cards
from foveate.compare.report.figure import draw
from foveate.compare.report.page import render
from foveate.compare.report.records import MADE_WRONG, expect_known
from foveate.compare.report.result import Result, complete, expect_study, plain_data, read_result
from foveate.compare.report.schema import FORMAT, Study
from foveate.errors import StudyError
from foveate.files import write_bytes

_FORMULA = tuple("=+-@|%＝＋－＠")  # some spreadsheets read the wide forms as the same
FILES = ("study.json", "pictures.json", "runs.csv", "figure.png", "figure.svg", "report.html")
COLUMNS = ("variant", "seed", "score", "seconds", "images_per_second", "steps", "parameters")


def write_report(result: Result, folder: Path, *, only_known: bool = True) -> Path:
    """Write ``report.html`` and the files beside it, and return its path.

    Beside it: ``study.json`` (all but the pictures), ``pictures.json`` (if the result has pictures, so that
    the page can be made again without any model), ``runs.csv``, ``figure.png`` and ``figure.svg``.

    Args:
        result: The plain data of a study, as docs/study-json.md describes it.
        folder: Where to write; made if it is missing. Files of these names are replaced.
        only_known: Whether an entry that the schema does not know, such as a misspelt one, is an error. Pass
            False for a result that was read from a file.

    Raises:
        StudyError: The result is not what the schema says, or a file cannot be written.
    """
    folder = Path(folder)
    numbers = _checked(result, folder, only_known=only_known)
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
    """Return whether all files of ``write_report`` are there, and the numbers can be read."""
    try:
        read_result(folder)
        return all((folder / name).stat().st_size > 0 for name in FILES)
    except (OSError, StudyError):
        return False


def _checked(result: Result, folder: Path, *, only_known: bool) -> dict[str, Any]:
    """Return what ``study.json`` will hold, if it and the pictures are what the schema says."""
    path, plain = folder / "study.json", plain_data(result)
    pictures, numbers = plain.pop("pictures", []), {**plain, "format": FORMAT}
    expect_study(numbers, path, MADE_WRONG)
    expect_cards(pictures, path.with_name("pictures.json"), MADE_WRONG, only_known=only_known)
    if only_known:
        expect_known(numbers, Study, path)
    return numbers


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _bytes(text: str) -> bytes:
    """Encode as UTF-8; undecodable bytes of a file name, lone surrogates in Python, become escapes."""
    return text.encode("utf-8", errors="backslashreplace")


def _csv(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return one row a run: the usual columns first, then any others that the runs have."""
    others = dict.fromkeys(key for run in runs for key in run if key not in COLUMNS)
    text = io.StringIO(newline="")
    columns = [*COLUMNS, *others]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_cell, columns))
    for run in plain_data(list(runs)):
        writer.writerow([_cell(run.get(column, "")) for column in columns])
    return text.getvalue()


def _cell(value: Any) -> Any:
    """Return a cell that no spreadsheet reads as a formula: text that looks like one gets an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.lstrip()[:1] in _FORMULA else value


def _put(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, data)
    except OSError as error:
        text = (
            f"{path}: cannot be written ({error}). Free some space or choose another folder; no run is lost."
        )
        raise StudyError(text) from None
