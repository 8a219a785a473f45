"""``foveate check``: faults in data, found before anything is trained on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveate.data.command_options import DataOptions

if TYPE_CHECKING:
    from foveate.data.checks.finding import Finding
    from foveate.data.feed import Data
    from foveate.tasks.base import Task

EXAMPLE = """
    $ foveate check scenes
    scenes: 0 errors, 0 warnings, 0 notes
"""

SHOWN = 5  # names printed for one finding, unless --all


def check(
    data: str,
    /,
    *,
    task: str | None = None,
    reading: DataOptions = DataOptions(),  # noqa: B008  # frozen
    all: bool = False,
    sheet: Path | None = None,
    json: bool = False,
) -> int:
    """Look for faults in your data: broken files, duplicates, odd labels, mismatched pairs.

    Exit code 1 if there are errors, which stop a comparison; warnings do not.

    Args:
        data: A folder or a file: see docs/data.md; or scenes, the built-in images.
        task: The task that it is for; see `foveate list tasks`. Default: the usual one for such data.
        reading: How the data is read.
        all: Name every file of a finding, not only the first few.
        sheet: Draw the pictures that look alike side by side into this file, such as pairs.png; of pictures
            with captions others too, all with their captions.
        json: Print JSON.
    """
    from dataclasses import asdict

    from foveate.cli import output

    kind, opened, findings = _findings(data, task, reading.given())
    if sheet is not None:
        output.say(kind.draw_alike(opened, findings, sheet), aside=json)
    if json:
        output.machine([asdict(finding) for finding in findings])
    else:
        _print(data, findings, shown=None if all else SHOWN)
    return int(any(finding.severity == "error" for finding in findings))


def _findings(
    data: str, task: str | None, options: dict[str, Any]
) -> tuple[type[Task], Data | None, list[Finding]]:
    from foveate.errors import DataError
    from foveate.tasks.base import task_named
    from foveate.tasks.open_source import open_source, task_for

    try:
        opened = open_source(data, task, **options)
    except DataError:
        kind = task_for(data, task)
        if not Path(data).exists():  # a typo, not a fault in the data
            raise
        return kind, None, kind.check_source(data, **options)
    kind = task_named(task or opened.task)[0]
    return kind, opened, kind.check(opened)


def _print(data: str, findings: list[Finding], shown: int | None) -> None:
    from foveate.cli.output import say

    for finding in findings:
        say(f"{finding.severity:8} {finding.kind}: {finding.message}")
        for item in finding.items[:shown]:
            say(f"           {item}")
        if shown is not None and len(finding.items) > shown:
            say(f"           and {len(finding.items) - shown} more; --all lists them")
    counts = {kind: sum(f.severity == kind for f in findings) for kind in ("error", "warning", "note")}
    say(f"{data}: " + ", ".join(f"{count} {kind}{'s' * (count != 1)}" for kind, count in counts.items()))
