"""Check images that cannot even be opened as data."""

from __future__ import annotations

from pathlib import Path

from foveate.data.checks.check import check_files, worst_first
from foveate.data.checks.check_pairs import check_pairs
from foveate.data.checks.finding import Finding
from foveate.errors import FoveateError


def check_unopened(source: object, error: FoveateError, /, **options: object) -> list[Finding]:
    """Return why a source cannot be opened, and the findings on its files.

    Args:
        source: What ``open_data`` refused.
        error: Its reason.
        options: Its options.
    """
    named = {what: str(options[what]) for what in ("images", "masks") if options.get(what)}
    findings = [Finding("cannot_open", "error", str(error))]
    if isinstance(source, (str, Path)) and Path(source).is_dir():
        findings += [*check_pairs(Path(source), **named), *check_files(Path(source))]
    return worst_first(findings)
