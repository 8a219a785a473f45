"""The options of ``foveate predict`` that a model takes which answers in words; light to import."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from cyclopts import Group, Parameter

ANSWERING = Group("With a model that answers in words", sort_key=3)


@Parameter(name="*", group=ANSWERING)
@dataclass(frozen=True)
class WordOptions:
    """How sentences are searched; what is left out is as in training."""

    beam: int | None = None
    """Hypotheses that the search keeps; 1 takes the likeliest word each time."""

    nbest: int | None = None
    """Print this many answers to each input, with their scores."""

    length_penalty: float | None = None
    """Rank by log p over ((5 + words) / 6) to this power: 0 prefers short answers, 1 is usual."""

    coverage_penalty: float | None = None
    """Prefer answers that read all of the input, by this much; 0 is usual."""

    min_length: int | None = None
    """Least number of words."""

    max_length: int | None = None
    """Greatest number of words."""

    sample: bool | None = None
    """Draw words instead of searching for the likeliest; --seed decides which."""

    temperature: float | None = None
    """With --sample: below 1 draws likelier words, above 1 rarer ones."""

    top_k: int | None = None
    """With --sample: draw among this many of the likeliest words."""

    def given(self) -> dict[str, Any]:
        """Return the options that were given."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}
