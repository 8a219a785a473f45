"""Pictures with their captions in one image, for a person to see whether they belong together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from foveate.data.captions.caption_data import CaptionData
from foveate.data.checks.contact_sheet import alike, contact_sheet
from foveate.data.checks.finding import Finding

ACROSS, ROWS = 4, 6  # of the pictures beside those that look alike


def captioned_sheet(data: CaptionData, findings: Sequence[Finding], path: Path) -> str:
    """Draw the pictures that look alike, a group in a row, then some of each split; return what was drawn.

    Args:
        data: Pictures and captions; the first caption of each is printed under it.
        findings: Of a check.
        path: See ``contact_sheet``.

    Raises:
        DataError: The file cannot be written.
    """
    said: dict[str, str] = {}
    others: list[tuple[str, ...]] = []
    for split, part in data.splits.items():
        own = [name if part.pictures.files is not None else f"{split}:{name}" for name in part.pictures.names]
        said |= {name: some[0] for name, some in zip(own, part.captions, strict=True)}
        step = -(-len(own) // (ACROSS * ROWS))
        some = own[::step]
        others += [tuple(some[n : n + ACROSS]) for n in range(0, len(some), ACROSS)]
    groups = alike(findings)
    drawn = contact_sheet(data.pictures, [*groups, *others], path, said)
    same = f"{min(drawn, len(groups))} of {len(groups)} groups of pictures that look alike, and "
    count = sum(map(len, others[: max(0, drawn - len(groups))]))
    return f"{path}: {same if groups else ''}{count} pictures with their captions"
