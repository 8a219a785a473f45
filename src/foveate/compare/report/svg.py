"""The two things every chart needs: tags that escape their content, and a scale with round ticks.

The charts are fluid: x is in percent of the available width, y in pixels. So one chart suits a phone and a
wide screen at the same font size, and needs no script.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup, escape


def tag(name: str, *children: str, **attributes: object) -> Markup:
    """Return one element; text and values are escaped, underscores become hyphens, None is omitted."""
    words = [name]
    for key, value in attributes.items():
        if value is not None:
            number = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
            words.append(f'{key.rstrip("_").replace("_", "-")}="{escape(number)}"')
    return Markup(f"<{' '.join(words)}>") + join(children) + Markup(f"</{name}>")


def join(parts: Iterable[str]) -> Markup:
    """Join parts, escaping those that are not markup already."""
    return Markup("").join(parts)


def point(*shapes: str, tip: str, first: bool = True, **attributes: object) -> Markup:
    """Group shapes into one point that pointer and keyboard reach; ``tip`` is the text that both get.

    Args:
        shapes: What is drawn.
        tip: The values, one per line.
        first: Whether the tab key stops here; the arrow keys reach the others.
        attributes: Further ones of the group; ``class_`` is added to ``point``.
    """
    attributes["class_"] = f"point {attributes.get('class_') or ''}".strip()
    label = tip.replace("\n", ", ")
    return tag(
        "g", *shapes, role="img", tabindex=0 if first else -1, aria_label=label, data_tip=tip, **attributes
    )


@dataclass(frozen=True)
class Scale:
    """A linear scale.

    Args:
        low: The value at its start.
        high: The value at its end; greater than ``low``.
    """

    low: float
    high: float

    @classmethod
    def over(cls, values: Iterable[float | None], *, room: float = 0.06) -> Scale:
        """Return a scale that covers all values, with some room at both ends; a usable one even for none."""
        known = [float(value) for value in values if value is not None and math.isfinite(value)]
        low, high = (min(known), max(known)) if known else (0.0, 1.0)
        if high - low < 1e-9 * max(1.0, abs(low), abs(high)):
            low, high = low - (abs(low) * 0.05 or 0.5), high + (abs(high) * 0.05 or 0.5)
        return cls(low - room * (high - low), high + room * (high - low))

    def at(self, value: float) -> float:
        """Return where a value lies, 0 at the start and 1 at the end."""
        return (value - self.low) / (self.high - self.low)

    def percent(self, value: float) -> str:
        """Return where a value lies along x."""
        return f"{100 * self.at(value):.2f}%"

    def down(self, value: float, height: float) -> float:
        """Return where a value lies along y, in pixels from the top of a plot."""
        return round(height * (1 - self.at(value)), 2)

    def ticks(self, about: int = 5) -> list[float]:
        """Return about this many round values inside the scale."""
        step = self.step(about)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [index * step for index in range(first, last + 1)]

    def step(self, about: int = 5) -> float:
        """Return the distance of the ticks: 1, 2 or 5 times a power of ten."""
        rough = (self.high - self.low) / about
        power = 10.0 ** math.floor(math.log10(rough))
        return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= 0.8 * rough)

    def digits(self, about: int = 5) -> int:
        """Return how many decimals distinguish the ticks."""
        return max(0, -math.floor(math.log10(self.step(about)) + 1e-9))
