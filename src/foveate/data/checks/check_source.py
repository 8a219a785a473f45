"""Check data that may not even open."""

from __future__ import annotations

from pathlib import Path

from foveate.data.checks.check import check, check_files, worst_first
from foveate.data.checks.check_pairs import check_pairs
from foveate.data.checks.finding import Finding
from foveate.data.open import open_data
from foveate.errors import FoveateError


def check_source(source: object, *, seed: int = 0, **options: object) -> list[Finding]:
    """Return the findings on data that may not even open: then the reason, and the findings on its files.

    Args:
        source: What ``open_data`` takes.
        seed: As in ``open_data``.
        options: As in ``open_data``.
    """
    try:
        data = open_data(source, seed=seed, **options)
    except FoveateError as error:
        named = {what: str(options[what]) for what in ("images", "masks") if options.get(what)}
        findings = [Finding("cannot_open", "error", str(error))]
        if isinstance(source, (str, Path)) and Path(source).is_dir():
            findings += [*check_pairs(Path(source), **named), *check_files(Path(source))]
        return worst_first(findings)
    return check(data)
