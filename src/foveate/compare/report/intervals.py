"""Intervals around zero: the glyph in the table, and the effect on each class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from foveate.compare.report.svg import Scale, join, point, tag
from foveate.compare.report.words import badge, plain, signed, span

GLYPH_HEIGHT = 26
ROW_HEIGHT = 22
SHOWN_CLASSES = 8  # at each end, when there are more than fit


def difference_scale(variants: Iterable[Mapping[str, Any]], margin: float) -> Scale:
    """Return one scale for all differences, with zero and the margin in it."""
    values: list[float | None] = [0.0, -margin, margin]
    for variant in variants:
        for key in ("difference", "versus_control"):
            values += [(variant[key] or {}).get(end) for end in ("mean", "low", "high")]
    return Scale.over(values)


def glyph(difference: Mapping[str, Any], scale: Scale, margin: float, tone: str) -> Markup:
    """Draw one interval with the band of the margin and the line at zero; the numbers stand beside it in text."""
    middle = GLYPH_HEIGHT / 2
    mean, low, high = (difference.get(key) for key in ("mean", "low", "high"))
    shapes = _ground(scale, margin, GLYPH_HEIGHT)
    if low is not None and high is not None:
        shapes += _bar(scale, low, high, middle)
    if mean is not None:
        shapes.append(tag("circle", class_="dot", cx=scale.percent(mean), cy=middle, r=4.5))
    return _fluid(*shapes, height=GLYPH_HEIGHT, class_=f"glyph tone-{tone}", aria_hidden="true")


def axis(scale: Scale, digits: int = 1, about: int = 4) -> Markup:
    """Draw the numbers under a column of intervals."""
    decimals = max(0, min(digits + 1, scale.digits(about)))
    labels = [
        tag("text", signed(tick, decimals), x=scale.percent(tick), y=14, text_anchor="middle")
        for tick in scale.ticks(about)
    ]
    return _fluid(*labels, height=18, class_="axis", aria_hidden="true")


def class_rows(variant: Mapping[str, Any], scale: Scale, margin: float, digits: int) -> Markup:
    """Draw one row a class, the most helped first; of very many only the two ends."""
    rows = by_effect(variant["per_class"])
    ends = rows if len(rows) <= 2 * SHOWN_CLASSES else rows[:SHOWN_CLASSES] + rows[-SHOWN_CLASSES:]
    drawn = [_class_row(row, scale, margin, digits, first=not index) for index, row in enumerate(ends)]
    if len(ends) < len(rows):
        gap = tag("p", f"{len(rows) - len(ends)} classes between them are in the table of numbers", class_="gap")
        drawn.insert(SHOWN_CLASSES, gap)
    return tag("div", *drawn, class_="rows", data_points="", role="group", aria_label=f"{variant['name']}, by class")


def by_effect(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Sort the classes by their effect, the greatest first; those without one last."""
    return sorted(rows, key=lambda row: (row["mean"] is None, -(row["mean"] or 0.0), row["class"]))


def class_scale(variants: Iterable[Mapping[str, Any]]) -> Scale:
    """Return one scale for the effects on the classes under all variants."""
    rows = [row for variant in variants for row in variant["per_class"]]
    return Scale.over([0.0, *(row[end] for row in rows for end in ("mean", "low", "high"))])


def _class_row(row: Mapping[str, Any], scale: Scale, margin: float, digits: int, *, first: bool) -> Markup:
    mean, low, high = row["mean"], row["low"], row["high"]
    interval = f"\ninterval {span(low, high, digits)}" if low is not None else "\nno interval"
    tip = f"{row['class']}\n{signed(mean, digits)}{interval}\n{plain(row['items'], 0)} test items"
    middle = ROW_HEIGHT / 2
    shapes = [tag("rect", class_="hit", width="100%", height=ROW_HEIGHT)]
    if low is not None and high is not None:
        shapes += _bar(scale, low, high, middle)
    if mean is not None:
        shapes.append(tag("circle", class_="dot", cx=scale.percent(mean), cy=middle, r=4))
    tone = badge("no verdict" if low is None or low <= 0 <= high else "helps" if low > 0 else "hurts").tone
    group = point(*shapes, tip=tip, first=first, class_=f"tone-{tone}")
    track = _fluid(*_ground(scale, margin, ROW_HEIGHT), group, height=ROW_HEIGHT, class_="track", role="group")
    name = tag("bdi", row["class"], class_="row-name", title=row["class"])
    return tag("div", name, track, tag("span", signed(mean, digits), class_="row-value"), class_="row")


def _ground(scale: Scale, margin: float, height: float) -> list[Markup]:
    left, zero = 100 * scale.at(-margin), scale.percent(0)
    wide = f"{200 * (scale.at(margin) - scale.at(0)):.2f}%"
    band = tag("rect", class_="band", x=f"{left:.2f}%", width=wide, height=height)
    return [band, tag("line", class_="zero", x1=zero, x2=zero, y1=0, y2=height)]


def _bar(scale: Scale, low: float, high: float, middle: float) -> list[Markup]:
    start, end = scale.percent(low), scale.percent(high)
    caps = [tag("line", class_="bar", x1=x, x2=x, y1=middle - 4, y2=middle + 4) for x in (start, end)]
    return [tag("line", class_="bar", x1=start, x2=end, y1=middle, y2=middle), *caps]


def _fluid(*shapes: Markup, height: float, **attributes: object) -> Markup:
    return tag("svg", join(shapes), width="100%", height=height, **attributes)
