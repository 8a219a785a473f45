"""What ``compare`` and ``demo`` print: a plan, or the answer of a finished study."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from foveate.cli import output
from foveate.quantities import short

if TYPE_CHECKING:
    from foveate.compare.finished_study import Study
    from foveate.compare.plan import StudyPlan

_NOT_TRAINED_OUT = "not trained out"  # a finding of the study, not of its data
_NARROWEST = 12  # letters of a name in a line, however narrow the terminal is
_HALF = 13  # letters in a line of a verdict beside long names: "no difference"
_FRAME = 2  # columns of the terminal that each column of the table takes besides its text


def tell(found: Study | StudyPlan, *, json: bool) -> None:
    """Print a plan, or the answer of a finished study."""
    from foveate.compare.data_warnings import data_warnings
    from foveate.compare.plan import StudyPlan

    if isinstance(found, StudyPlan):
        output.machine(found.to_dict()) if json else output.say(str(found))
    elif json:
        output.machine({key: value for key, value in found.result.items() if key != "pictures"})
    else:
        output.paragraph(found.sentence)
        output.say()
        columns = ["variant", found.result["question"]["metric"]["unit"], "difference", "params"]
        rows = [_cells(row) for row in found.table]
        output.table([*columns, "verdict"], _fitted(rows, columns), right=columns[1:])
        for note in filter(None, found.table.notes):
            output.paragraph(note + "\n")
        warned = data_warnings(_warnings(found.result))
        if warned:
            output.say("\n".join((*warned, "")))
        output.say(str(found.folder / "report.html"))


def _warnings(result: Mapping[str, Any]) -> list[str]:
    """Return what the check of the data warns of; what training showed is in the answer."""
    checks = [check for check in result.get("checks", ()) if check["kind"] != _NOT_TRAINED_OUT]
    return [check["message"] for check in checks if check["severity"] == "warning"]


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    difference = "" if row["difference"] is None else f"{row['difference']:+.1f}"
    if row["low"] is not None:
        difference += f" ({row['low']:.1f} to {row['high']:.1f})"
    return row["variant"], f"{row['score']:.1f}", difference, short(row["parameters"]), row["verdict"]


def _fitted(rows: Sequence[tuple[str, ...]], columns: Sequence[str]) -> list[tuple[str, ...]]:
    """Break verdicts and long names into lines, so that the numbers between them stay in one line.

    Args:
        rows: Cells: the name, numbers, the verdict.
        columns: The headings of all but the verdict.
    """
    numbers = [
        max(map(len, column)) for column in zip(columns[1:], *(row[1:-1] for row in rows), strict=True)
    ]
    left = output.console().width - sum(numbers) - _FRAME * (len(columns) + 1)
    names, verdicts = [row[0] for row in rows], [row[-1] for row in rows]
    if max(map(len, names)) + max(map(len, verdicts)) > left:
        verdicts = [_halved(verdict) for verdict in verdicts]
        room = left - max(len(line) for verdict in verdicts for line in verdict.split("\n"))
        names = [_broken(name, max(room, _NARROWEST)) for name in names]
    return [(name, *row[1:-1], verdict) for name, row, verdict in zip(names, rows, verdicts, strict=True)]


def _halved(verdict: str) -> str:
    """Break a verdict of several words into two lines, if it is longer than the shorter ones."""
    return "\n".join(textwrap.wrap(verdict, _HALF))


def _broken(name: str, room: int) -> str:
    """Break a name into lines of so many letters: where ``parts`` lets it, else at a space or hyphen."""
    from foveate.compare.report.words import parts

    lines = [""]
    for part in parts(name):
        if lines[-1] and len(lines[-1] + part) > room:
            lines.append("")
        lines[-1] += part
    return "\n".join(piece for line in lines for piece in textwrap.wrap(line, room) or [""])
