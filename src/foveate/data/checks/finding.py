"""One thing that a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """What was found, how bad it is, and where.

    Args:
        kind: A fixed word, such as "truncated" or "near_duplicate".
        severity: "error" stops a study, "warning" is reported, "note" is good to know.
        message: What it is, what it does to a study, and what to do.
        items: Names of all files or items concerned; pairs are written "a = b" or "a ~ b".
    """

    kind: str
    severity: Severity
    message: str
    items: tuple[str, ...] = ()
