"""What ``compare`` and ``demo`` print: a plan, or the answer of a finished study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from foveate.cli import output
from foveate.quantities import short

if TYPE_CHECKING:
    from foveate.compare.finished_study import Study
    from foveate.compare.plan import StudyPlan

_WIDE = 21  # letters of a name that fit in one line of the table at 80 columns


def tell(found: Study | StudyPlan, *, json: bool) -> None:
    """Print a plan, or the answer of a finished study."""
    from foveate.compare.plan import StudyPlan

    if isinstance(found, StudyPlan):
        output.machine(found.to_dict()) if json else output.say(str(found))
    elif json:
        output.machine({key: value for key, value in found.result.items() if key != "pictures"})
    else:
        output.paragraph(found.sentence)
        output.say()
        columns = ["variant", found.result["question"]["metric"]["unit"], "difference", "parameters"]
        output.table([*columns, "verdict"], map(_cells, found.table), right=columns[1:])
        for note in filter(None, found.table.notes):
            output.paragraph(note + "\n")
        output.say(str(found.folder / "report.html"))


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    difference = "" if row["difference"] is None else f"{row['difference']:+.1f}"
    if row["low"] is not None:
        difference += f" ({row['low']:.1f} to {row['high']:.1f})"
    name = _broken(row["variant"])
    return name, f"{row['score']:.1f}", difference, short(row["parameters"]), row["verdict"]


def _broken(name: str) -> str:
    """Break a long name into lines where ``parts`` lets it."""
    from foveate.compare.report.words import parts

    lines = [""]
    for part in parts(name):
        if lines[-1] and len(lines[-1] + part) > _WIDE:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)
