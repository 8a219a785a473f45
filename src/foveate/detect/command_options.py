"""The options of ``foveate predict`` that a model takes which detects; light to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cyclopts import Group, Parameter

DETECTING = Group("With a model that detects", sort_key=2)
USUAL = 0.5  # score from which on a box is shown


@Parameter(name="*", group=DETECTING)
@dataclass(frozen=True)
class BoxOptions:
    """Which boxes are shown."""

    least_score: float | None = None
    """Score from which on a box is printed and drawn, from 0 to 1. Default: 0.5. The JSON file has all."""

    def given(self) -> dict[str, Any]:
        """Return the options that were given."""
        return {} if self.least_score is None else {"least_score": self.least_score}
