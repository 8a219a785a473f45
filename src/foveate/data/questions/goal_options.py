"""The option of ``foveate predict`` that a model takes which looks with a goal in mind; light to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cyclopts import Group, Parameter

ASKING = Group("With a model that takes a goal", sort_key=3)


@Parameter(name="*", group=ASKING)
@dataclass(frozen=True)
class GoalOptions:
    """What is asked of every picture."""

    goal: str | None = None
    """What to look for, such as "how many dogs are there?"."""

    def given(self) -> dict[str, Any]:
        """Return the options that were given."""
        return {} if self.goal is None else {"goal": self.goal}
