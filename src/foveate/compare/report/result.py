"""The plain data of a study: read from its folder, and made whole, so that nobody asks what is there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foveate.compare.report.schema import expect_pictures, expect_study
from foveate.errors import StudyError
from foveate.files import read_json

Result = Mapping[str, Any]
FORMAT = 1
_AGAIN = "Run the study's command again."

_NO_SCORE: dict[str, Any] = {"mean": None, "per_seed": [], "low": None, "high": None}
_VARIANT: dict[str, Any] = {
    "spec": None,
    "role": "variant",
    "verdict": "no verdict",
    "words": "",
    "as_attention": None,
    "difference": None,
    "versus_control": None,
    "latency": None,
    "memory": None,
    "per_class": [],
    "confusion": None,
    "figures": [],
    "gates": [],
    "curves": [],
}
_DIFFERENCE = dict.fromkeys(
    ("mean", "low", "high", "p", "p_adjusted", "df", "detectable", "pairing", "more_seeds")
)
_QUESTION: dict[str, Any] = {
    "mode": "scratch",
    "model": "",
    "data": "",
    "classes": [],
    "palette": None,
    "metric": {"name": "score", "unit": "", "scale": 1, "higher_is_better": True},
    "margin": 0.0,
    "level": 0.95,
    "seeds": [],
    **dict.fromkeys(("epochs", "branch_epochs", "train_items", "items", "size", "command")),
}
_RECIPE: dict[str, Any] = {
    "command": "",
    "start": None,
    "train": {},
    "versions": {},
    "hardware": {},
    "data": {},
    "seeds": [],
    "rules": [],
}
_TOP: dict[str, Any] = {
    "foveate": "",
    "created": "",
    "sentence": "",
    "could_have_found": "",
    "chance": None,
    "best": None,
}


def read_result(folder: Path) -> dict[str, Any]:
    """Read what ``write_report`` wrote: ``study.json``, and ``pictures.json`` if it is there.

    Raises:
        StudyError: The folder holds no study that this version can read.
    """
    path = Path(folder) / "study.json"
    if not path.exists():
        raise StudyError(f"{path}: no such file. Give the folder that `foveate compare --out` wrote.")
    result = read_json(path, StudyError, _AGAIN)
    if not isinstance(result, dict) or result.get("format") != FORMAT:
        found = result.get("format") if isinstance(result, dict) else type(result).__name__
        raise StudyError(
            f"{path}: got format {found!r}, expected {FORMAT}. Read it with the foveate that wrote it."
        )
    expect_study(result, path)
    drawn = path.with_name("pictures.json")
    pictures = read_json(drawn, StudyError, _AGAIN) if drawn.exists() else result.get("pictures", [])
    expect_pictures(pictures, drawn)
    return {**result, "pictures": pictures}


def complete(result: Result) -> dict[str, Any]:
    """Return a copy in which everything optional is there, and numbers that are not finite are None."""
    whole: dict[str, Any] = {**_TOP, "checks": [], "runs": [], "pictures": [], **plain_data(result)}
    whole["question"] = {**_QUESTION, **whole.get("question", {})}
    whole["question"]["metric"] = {**_QUESTION["metric"], **whole["question"]["metric"]}
    whole["recipe"] = {**_RECIPE, **whole.get("recipe", {})}
    whole["variants"] = [_variant(variant) for variant in whole.get("variants", [])]
    return whole


def _variant(variant: Mapping[str, Any]) -> dict[str, Any]:
    whole = {**_VARIANT, **variant}
    whole["score"] = {**_NO_SCORE, **(whole.get("score") or {})}
    whole["cost"] = {"parameters": None, "macs": None, "bytes": None, **(whole.get("cost") or {})}
    for key in ("difference", "versus_control"):
        if whole[key] is not None:
            whole[key] = {**_DIFFERENCE, **whole[key]}
    return whole


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
    return 1 if result["question"]["metric"].get("scale", 1) >= 100 else 3
