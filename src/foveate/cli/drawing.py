"""A data flow as lines of text, drawn as version control draws its branches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foveate.explain.dataflow import Step

POINT, WEIGHTS = "○", "●"


def draw(steps: Sequence[Step], width: int = 80) -> list[str]:
    """Return the lines of a drawing: a column for every value that is still needed, a line for every step.

    Args:
        steps: As `dataflow` returns them: inputs first, result last.
        width: Columns of the terminal; labels are cut to it.
    """
    last = {source: place for place, step in enumerate(steps) for source in step.inputs}
    lanes: list[int | None] = []
    rows: list[tuple[str, str, str]] = []
    for place, step in enumerate(steps):
        ending = {source for source in step.inputs if last[source] == place}
        target = min((lanes.index(source) for source in ending), default=-1)
        if target < 0:
            target = _free(lanes, step.inputs)
        if len(step.inputs) > 1 or (step.inputs and not ending):
            rows.append((_joint(lanes, step.inputs, ending, target), "", ""))
        lanes = [None if lane in ending else lane for lane in lanes]
        lanes[target] = place
        marks = [" " if lane is None else "│" for lane in lanes]
        marks[target] = WEIGHTS if step.tap else POINT
        rows.append((" ".join(marks).rstrip(), step.label, "×".join(map(str, step.shape)) or "1"))
        while lanes[-1] is None:
            lanes.pop()
    return _set(rows, width)


def _free(lanes: list[int | None], sources: Sequence[int]) -> int:
    """Return a free column right of the sources, a new one if there is none."""
    first = 1 + max((lanes.index(source) for source in sources), default=-1)
    for lane in range(first, len(lanes)):
        if lanes[lane] is None:
            return lane
    lanes.append(None)
    return len(lanes) - 1


def _joint(lanes: list[int | None], sources: Sequence[int], ending: set[int], target: int) -> str:
    """Return the line that leads the sources into the target's column."""
    columns = [lanes.index(source) for source in sources]
    low, high = min([*columns, target]), max([*columns, target])
    marks = []
    for lane, value in enumerate(lanes):
        joined = lane in columns or lane == target
        through = lane not in columns or value not in ending or lane == target
        if not low <= lane <= high:
            mark = "│" if value is not None else " "
        elif lane == target and value is None:
            mark = "╮" if lane == high else "╭" if lane == low else "┬"
        elif not joined:
            mark = "┼" if value is not None else "─"
        elif lane == low:
            mark = "├" if through else "╰"
        elif lane == high:
            mark = "┤" if through else "╯"
        else:
            mark = "┼" if through else "┴"
        marks.append(mark + ("─" if low <= lane < high else " "))
    return "".join(marks).rstrip()


def _set(rows: list[tuple[str, str, str]], width: int) -> list[str]:
    left = max((len(marks) for marks, *_ in rows), default=0) + 2
    right = max((len(shape) for *_, shape in rows), default=0)
    middle = min(max((len(label) for _, label, _ in rows), default=0), width - left - right - 2)
    return [
        f"{marks:<{left}}{label[:middle]:<{middle}}  {shape:>{right}}".rstrip()
        for marks, label, shape in rows
    ]
