"""Any content of ``study.json``: a report can be made of it, or an error names the entry that is wrong."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docs.write_pages import records_in, schema_page
from hypothesis import given, settings
from hypothesis import strategies as st

from foveate.compare.report import read_result, render, write_report
from foveate.compare.report.cards import CARDS
from foveate.compare.report.records import completed, entries
from foveate.compare.report.result import complete
from foveate.compare.report.schema import READABLE, Study
from foveate.compare.report.write import _csv
from foveate.errors import StudyError
from foveate.typed import fitted
from tests.compare.report_example import everything


def small() -> Any:
    """Return an example with two of whatever it has more of."""
    whole = json.loads(json.dumps(everything()))
    for holder in (whole, *whole["pictures"]):
        holder["variants"] = holder["variants"][:2]
    for variant in whole["variants"]:
        for curve in variant["curves"]:
            curve["epochs"] = curve["epochs"][:2]
    for answer in whole["pictures"][-1]["variants"]:
        answer["images"] = answer["images"][:2]
    return whole


SOUND: dict[str, Any] = small()
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
@pytest.mark.slow
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
        (("format",), 4, "got format 4, expected 1, 2 or 3"),
        (
            ("pictures", 1, "kind"),
            "sounds",
            r"\[1\]\.kind is 'sounds', expected one of labels, pixels, boxes, text, image",
        ),
        (("pictures", 2, "variants", 0, "answer"), 3, r"\[2\]\.variants\[0\]\.answer is 3, expected text"),
        (("question", "margin"), 1e308, "from -1e\\+15 to 1e\\+15"),
    ],
)
def test_the_finding_names_the_entry(folder: Path, where: Where, odd: Any, words: str) -> None:
    with pytest.raises(StudyError, match=words):
        text = told(folder, with_odd(where, odd))
        raise StudyError(text)


def test_what_the_schema_does_not_know_passes(folder: Path) -> None:
    assert told(folder, {**copy.deepcopy(SOUND), "newer": {"deep": [1]}}) == ""


EVERY = {record.__name__: record for root in (Study, *CARDS.values()) for record in records_in(root)}


@pytest.mark.parametrize("record", EVERY.values(), ids=EVERY)
def test_every_entry_says_what_it_means_and_its_default_fits(record: Any) -> None:
    assert record.__doc__ and len(entries(record)) > 0
    for name, (hint, entry) in entries(record).items():
        assert entry.means and entry.since in READABLE, name
        if name not in record.__required_keys__:
            fitted(completed(entry.default, hint), hint, name)


def test_what_is_completed_is_sound_and_complete_already() -> None:
    whole = complete({"variants": [{"name": "only"}], "pictures": SOUND["pictures"]})
    assert complete(whole) == whole
    fitted(whole, Study)
    assert whole["variants"][0]["score"]["per_seed"] == [] and whole["question"]["metric"]["scale"] == 1


@pytest.mark.parametrize(
    ("where", "name", "words"),
    [
        ((), "varians", r"study\.json: varians is not an entry of the schema. Nearest: variants"),
        (
            ("variants", 1, "difference"),
            "detectible",
            r"variants\[1\]\.difference\.detectible is not an entry",
        ),
        (("runs", 0), "second", r"runs\[0\]\.second is not an entry of the schema. Nearest: seconds"),
        (
            ("pictures", 2, "variants", 0),
            "anwser",
            r"pictures\.json: .*variants\[0\]\.anwser is not an entry",
        ),
    ],
)
def test_a_misspelt_entry_is_not_written_unless_it_was_read(
    tmp_path: Path, where: Where, name: str, words: str
) -> None:
    whole = with_odd((*where, name), 1)
    with pytest.raises(StudyError, match=words):
        write_report(whole, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("undrawn")
def test_what_was_read_is_written_with_all_it_has(tmp_path: Path) -> None:
    whole = copy.deepcopy(SOUND) | {"format": 1, "newer": {"deep": [1]}}
    write_report(whole, tmp_path, only_known=False)
    assert read_result(tmp_path) == whole | {"format": 3}


@pytest.mark.usefixtures("undrawn")
def test_the_options_of_a_metric_may_stand_beside_its_entries(tmp_path: Path) -> None:
    write_report(with_odd(("question", "metric", "beta2"), 0.3), tmp_path)
    assert read_result(tmp_path)["question"]["metric"]["beta2"] == 0.3


def test_a_value_of_another_type_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"variants\[0\]\.cost\.macs is 'many', .*docs/study-json\.md"):
        write_report(with_odd(("variants", 0, "cost", "macs"), "many"), tmp_path)


def test_the_page_of_the_schema_is_the_generated_one() -> None:
    page = Path(__file__).parents[2] / "docs" / "study-json.md"
    assert page.read_text(encoding="utf-8") == schema_page(), "Do: python docs/write_pages.py"
