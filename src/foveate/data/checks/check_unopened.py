"""Check data that does not open."""

from __future__ import annotations

from pathlib import Path

from foveate.data.checks.check import check_files, worst_first
from foveate.data.checks.check_pairs import check_pairs
from foveate.data.checks.finding import Finding


def check_unopened(source: object, reason: str, **options: object) -> list[Finding]:
    """Return why a source does not open, and the findings on its files.

    Args:
        source: What ``open_data`` refused.
        reason: The text of its error.
        options: As given to ``open_data``.
    """
    named = {what: str(options[what]) for what in ("images", "masks") if options.get(what)}
    findings = [Finding("cannot_open", "error", reason)]
    if isinstance(source, (str, Path)) and Path(source).is_dir():
        findings += [*check_pairs(Path(source), **named), *check_files(Path(source))]
    return worst_first(findings)
