"""``foveate check``: faults in a set of images, found before anything is trained on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveate.data.command_options import DataOptions

if TYPE_CHECKING:
    from foveate.data.base import ImageData
    from foveate.data.checks.finding import Finding

EXAMPLE = """
    $ foveate check scenes
    scenes: 0 errors, 0 warnings, 0 notes
"""

SHOWN = 5  # names printed for one finding, unless --all


def check(
    data: str,
    /,
    *,
    reading: DataOptions = DataOptions(),  # noqa: B008  # frozen
    all: bool = False,
    sheet: Path | None = None,
    json: bool = False,
) -> int:
    """Look for faults in a set of images: broken files, duplicates, odd labels, wrong masks.

    Exit code 1 if there are errors, which stop a comparison; warnings do not.

    Args:
        data: A folder of class folders or of images and masks, a .csv or .parquet
            manifest, COCO annotations, or scenes.
        reading: How the data is read.
        all: Name every file of a finding, not only the first few.
        sheet: Draw the pictures that look alike side by side into this file, such as pairs.png.
        json: Print JSON.
    """
    from dataclasses import asdict

    from foveate.cli import output

    opened, findings = _findings(data, reading.given())
    if sheet is not None:
        output.say(_draw(opened, findings, sheet), aside=json)
    if json:
        output.machine([asdict(finding) for finding in findings])
    else:
        _print(data, findings, shown=None if all else SHOWN)
    return int(any(finding.severity == "error" for finding in findings))


def _findings(data: str, options: dict[str, Any]) -> tuple[ImageData | None, list[Finding]]:
    from foveate.data.checks.check import check as find
    from foveate.data.checks.check_source import check_source
    from foveate.data.open import open_data
    from foveate.errors import DataError

    try:
        opened = open_data(data, **options)
    except DataError:
        if not Path(data).exists():  # a slip of the pen, not a fault in the data
            raise
        return None, check_source(data, **options)
    return opened, find(opened)


def _draw(opened: ImageData | None, findings: list[Finding], sheet: Path) -> str:
    """Draw the pictures that look alike, and return what to say of it."""
    from foveate.data.checks.contact_sheet import alike, contact_sheet

    groups = alike(findings)
    if opened is None or not groups:
        return f"{sheet}: not written; no two pictures look alike"
    drawn = contact_sheet(opened, groups, sheet)
    return f"{sheet}: {drawn} of {len(groups)} groups of pictures that look alike"


def _print(data: str, findings: list[Finding], shown: int | None) -> None:
    from foveate.cli.output import say

    for finding in findings:
        say(f"{finding.severity:8} {finding.kind}: {finding.message}")
        for item in finding.items[:shown]:
            say(f"           {item}")
        if shown is not None and len(finding.items) > shown:
            say(f"           and {len(finding.items) - shown} more; --all names them")
    counts = {kind: sum(f.severity == kind for f in findings) for kind in ("error", "warning", "note")}
    say(f"{data}: " + ", ".join(f"{count} {kind}{'s' * (count != 1)}" for kind, count in counts.items()))
