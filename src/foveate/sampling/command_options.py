"""The options of ``foveate predict`` that a model takes which draws pictures; light to import."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any

from cyclopts import Group, Parameter

DRAWING = Group("With a model that draws pictures", sort_key=4)


@Parameter(name="*", group=DRAWING)
@dataclass(frozen=True)
class DrawingOptions:
    """What is asked of a model that draws pictures."""

    label: Annotated[str | None, Parameter(name="--class")] = None
    """The class, by name or number; 3:5 goes from one to another. Default: all in turn."""

    pose: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """The pose, such as 30; numbers with commas if it has several; -45:45 goes from one to another. Default:
    drawn from the range of training."""

    words: str | None = None
    """A sentence, for a model that was trained with captions: "a seven leaning to the left". Default:
    captions of training in turn."""

    number: int | None = None
    """How many pictures. Default: 16."""

    truncation: float | None = None
    """Draw noise again that lies beyond this many deviations: less varied, more usual pictures. Usual: 1."""

    interpolate: bool | None = None
    """Go from one drawn noise to another in equal steps, instead of drawing it for each picture."""

    def given(self) -> dict[str, Any]:
        """Return the options that were given."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}
