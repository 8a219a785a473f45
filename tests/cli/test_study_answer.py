"""The table of a finished study on a terminal: names and verdicts break, numbers do not."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from foveate.cli.study_answer import tell
from foveate.compare.table import Table

NAMES = {
    "baseline": "baseline",
    "se@blocks": "no difference worth having",
    "control(like=cbam_pool)@stage3": "not yet known",
    "coordinate(reduction=8)@stage3+criss_cross@output": "no difference worth having",
    "a name of many short words in a row": "helps enough",
    "resnet50-narrow-squeezed-variant": "no difference worth having",
    "onelongnamewithoutanyplacetobreakit": "hurts",
}
INTERVAL = "-10.3 (-12.5 to -10.2)"


def told(names: dict[str, str], columns: int, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> list[str]:
    """Return the lines of the table below its headings."""
    monkeypatch.setenv("COLUMNS", str(columns))
    numbers = {"unit": "points", "score": 88.1, "seeds": 3, "parameters": 78_300}
    ends = {"difference": -10.3, "low": -12.5, "high": -10.2}
    rows = [{"variant": name, "verdict": verdict, **numbers, **ends} for name, verdict in names.items()]
    result = {"question": {"metric": {"unit": "points"}}}
    study: Any = SimpleNamespace(sentence="So.", table=Table(rows), result=result, folder=Path("runs/x"))
    tell(study, json=False)
    lines = capsys.readouterr().out.splitlines()
    rule = next(number for number, line in enumerate(lines) if line.startswith("──"))
    assert max(map(len, lines)) <= columns
    return lines[rule + 1 : lines.index("", rule + 1)]


@pytest.mark.parametrize("columns", [80, 90, 120])
def test_numbers_stay_in_one_line_and_nothing_is_lost(columns, monkeypatch, capsys):
    lines = told(NAMES, columns, monkeypatch, capsys)
    assert sum(INTERVAL in line for line in lines) == len(NAMES)
    at = lines[0].index("88.1")
    begins = [number for number, line in enumerate(lines) if "88.1" in line]
    verdict_at = max(line.index("baseline", at) for line in lines[:1])
    for (name, verdict), first, end in zip(NAMES.items(), begins, [*begins[1:], len(lines)], strict=True):
        own = lines[first:end]
        letters = re.sub(r"\s", "", "".join(line[:at] for line in own))
        assert letters == re.sub(r"\s", "", name)
        assert " ".join(" ".join(line[verdict_at:] for line in own).split()) == verdict


@pytest.mark.parametrize("count", [0, 1, 7])
def test_warnings_of_the_data_check_follow_the_table(count, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    warned = [
        {"kind": f"k{n}", "severity": "warning", "message": f"Fault {n}. Mend it."} for n in range(count)
    ]
    other = [
        {"kind": "size", "severity": "note", "message": "A note."},
        {"kind": "not trained out", "severity": "warning", "message": "Still rising."},
    ]
    result = {"question": {"metric": {"unit": "points"}}, "checks": [*other, *warned]}
    ends = {"difference": 1.0, "low": 0.1, "high": 2.0, "score": 88.1, "seeds": 3, "parameters": 1}
    table = Table([{"variant": "se", "verdict": "helps", "unit": "points", **ends}])
    study: Any = SimpleNamespace(sentence="So.", table=table, result=result, folder=Path("runs/x"))
    tell(study, json=False)
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if line.startswith("Warning: ")]
    assert lines == [f"Warning: Fault {n}." for n in range(min(count, 5))]
    assert ("and 2 more warnings" in printed) == (count == 7)
    assert ("foveate check DATA" in printed) == (count > 0) and printed.endswith("report.html\n")


def test_a_name_breaks_before_a_site_and_behind_a_mark(monkeypatch, capsys):
    whole = told(NAMES, 80, monkeypatch, capsys)
    lines = [line[: whole[0].index("88.1")].rstrip() for line in whole]
    for expected in ("control(like=cbam_pool)", "@stage3", "resnet50-narrow-", "squeezed-variant"):
        assert expected in lines


def test_short_names_leave_room_for_whole_verdicts(monkeypatch, capsys):
    lines = told({"baseline": "baseline", "se": "no difference worth having"}, 80, monkeypatch, capsys)
    assert len(lines) == 2 and lines[1].rstrip().endswith("no difference worth having")


def test_a_narrow_terminal_still_shows_all(monkeypatch, capsys):
    text = "".join(told(NAMES, 50, monkeypatch, capsys))
    assert "…" not in text and len(re.findall(r"88\.1", text)) == len(NAMES)
