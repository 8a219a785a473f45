"""The plain data of a study: read from its folder, and completed, so that every entry is there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foveate.compare.report.cards import complete_cards, expect_cards
from foveate.compare.report.records import DAMAGED, completed
from foveate.compare.report.schema import READABLE, Question, Study
from foveate.errors import StudyError
from foveate.files import read_json
from foveate.options import read_record

Result = Mapping[str, Any]
_AGAIN = "Run the study's command again."


def read_result(folder: Path) -> dict[str, Any]:
    """Read what ``write_report`` wrote: ``study.json``, and ``pictures.json`` if it is there.

    Raises:
        StudyError: The folder holds no study that this version can read.
    """
    path = Path(folder) / "study.json"
    if not path.exists():
        if path.with_name("study.sqlite").exists():
            raise StudyError(f"{folder}: the study is not finished. Run the command that began it again.")
        raise StudyError(f"{path}: no such file. Give the folder that `foveate compare --out` wrote.")
    result = read_json(path, StudyError, _AGAIN)
    found = result.get("format") if isinstance(result, dict) else type(result).__name__
    if found not in READABLE or isinstance(found, bool):
        known = f"{', '.join(map(str, READABLE[:-1]))} or {READABLE[-1]}"
        raise StudyError(
            f"{path}: got format {found!r}, expected {known}. Read it with the foveate that wrote it."
        )
    expect_study(result, path)
    drawn = path.with_name("pictures.json")
    pictures = read_json(drawn, StudyError, _AGAIN) if drawn.exists() else result.get("pictures", [])
    expect_cards(pictures, drawn)
    return {**result, "pictures": pictures}


def expect_study(plain: Any, path: Path, advice: str = DAMAGED) -> None:
    """Check what ``study.json`` holds.

    Raises:
        StudyError: An entry is not what the schema says; the text names it and ends with the advice.
    """
    study = read_record(Study, plain, path, StudyError, advice)
    question: Question = study.get("question") or Question()
    classes = len(question.get("classes", []))
    for number, variant in enumerate(study.get("variants", [])):
        confusion = variant.get("confusion")
        rows = confusion["matrix"] if confusion else None
        if rows is not None and [len(row) for row in rows] != [classes] * classes:
            raise StudyError(
                f"{path}: variants[{number}].confusion.matrix is not {classes} x {classes}, the number of "
                f"classes. {advice}"
            )


def complete(result: Result) -> dict[str, Any]:
    """Return a copy in which every entry is there, and numbers that are not finite are None.

    Raises:
        StudyError: A card is of an unknown kind.
    """
    plain = plain_data(result)
    pictures = plain.pop("pictures", [])
    whole: dict[str, Any] = completed(plain, Study)
    return whole | {"pictures": complete_cards(pictures, whole["question"])}


def plain_data(value: Any) -> Any:
    """Return a copy of plain types only: no tuple, no NumPy scalar, no NaN, which JSON does not have."""
    if isinstance(value, Mapping):
        return {str(key): plain_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_data(item) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if hasattr(value, "tolist"):  # NumPy arrays and scalars
        return plain_data(value.tolist())
    return str(value)


def baseline(result: Result) -> dict[str, Any] | None:
    """Return the variant that all others are compared with."""
    return next((variant for variant in result["variants"] if variant["role"] == "baseline"), None)


def digits(result: Result) -> int:
    """Return how many decimals scores are written with: one for percentages, three for fractions."""
    return 1 if result["question"]["metric"]["scale"] >= 100 else 3


def better(result: Result) -> int:
    """Return the sign of a gain: 1 if a higher score is better, -1 if a lower one is."""
    return 1 if result["question"]["metric"]["higher_is_better"] else -1
