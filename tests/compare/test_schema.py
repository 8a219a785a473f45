"""Whatever stands in ``study.json``: a report can be made of it, or a finding names what cannot be."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foveate.compare.report import read_result, render
from foveate.compare.report.write import _csv
from foveate.errors import StudyError
from tests.compare.report_example import example

SOUND: dict[str, Any] = json.loads(json.dumps(example(pictures=1)))
ODD = [None, True, 3, -1, 1e308, 10**400, "x", "", [], {}, [None], {"a": 1}, [[]], float("nan"), "\ud800"]
Where = tuple[str | int, ...]


def places(value: Any, here: Where = ()) -> Iterator[Where]:
    """Every place in the example, but of longer lists only the first."""
    yield here
    items = (
        value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    )
    for key, item in items:
        yield from places(item, (*here, key))


def with_odd(where: Where, odd: Any) -> Any:
    if not where:
        return odd
    whole = copy.deepcopy(SOUND)
    inner: Any = whole
    for key in where[:-1]:
        inner = inner[key]
    if odd == "absent":
        del inner[where[-1]]
    else:
        inner[where[-1]] = odd
    return whole


def told(folder: Path, whole: Any) -> str:
    """Return what the error says, empty where a report was made."""
    pictures = whole.pop("pictures", []) if isinstance(whole, dict) else []
    (folder / "study.json").write_text(json.dumps(whole), encoding="utf-8")
    (folder / "pictures.json").write_text(json.dumps(pictures), encoding="utf-8")
    try:
        result = read_result(folder)
    except StudyError as error:
        return str(error)
    render(result)
    _csv(result.get("runs", []))
    return ""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("study")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(places(SOUND), key=str)), st.sampled_from([*ODD, "absent"]))
def test_nonsense_at_any_place_ends_in_a_report_or_in_a_finding(folder: Path, where: Where, odd: Any) -> None:
    if where == () and odd == "absent":
        return
    text = told(folder, with_odd(where, odd))
    assert not text or ".json" in text


@pytest.mark.parametrize(
    ("where", "odd", "words"),
    [
        (
            ("variants", 1, "difference", "mean"),
            "much",
            r"variants\[1\]\.difference\.mean is 'much', expected",
        ),
        (("question", "classes"), "abc", r"question\.classes is 'abc', expected several values, each text"),
        (("variants", 0, "name"), "absent", r"variants\[0\]\.name is nothing"),
        (("pictures", 0, "variants", 0, "maps"), {}, r"pictures\.json: .*maps is \{\}"),
        (("format",), 2, "got format 2, expected 1"),
        (("question", "margin"), 1e308, "from -1e\\+15 to 1e\\+15"),
    ],
)
def test_the_finding_names_the_entry(folder: Path, where: Where, odd: Any, words: str) -> None:
    with pytest.raises(StudyError, match=words):
        text = told(folder, with_odd(where, odd))
        raise StudyError(text)


def test_what_the_schema_does_not_know_passes(folder: Path) -> None:
    assert told(folder, {**copy.deepcopy(SOUND), "newer": {"deep": [1]}}) == ""
