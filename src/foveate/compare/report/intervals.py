"""Intervals around zero: the glyph in the table, and the effect on each class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from foveate.compare.report.svg import Scale, join, point, tag
from foveate.compare.report.words import badge, plain, signed, span

SHOWN_CLASSES = 8  # at each end, when there are more than fit


def difference_scale(variants: Iterable[Mapping[str, Any]], margin: float) -> Scale:
    """Return one scale for all differences, with zero and the margin in it."""
    values: list[float | None] = [0.0, -margin, margin]
    for variant in variants:
        values += [(variant["difference"] or {}).get(end) for end in ("mean", "low", "high")]
    return Scale.over(values)


def per_seed(variant: Mapping[str, Any], base: Mapping[str, Any] | None) -> list[float]:
    """Return the difference of each seed that the variant's difference rests on, if the baseline has it."""
    ours, theirs = variant["score"]["per_seed"], base["score"]["per_seed"] if base else []
    count = (variant["difference"] or {}).get("seeds") or len(ours)
    pairs = zip(ours[:count], theirs, strict=False) if len(ours) <= len(theirs) else ()
    return [one - other for one, other in pairs if one is not None and other is not None]


def glyph(variant: Mapping[str, Any], base: Mapping[str, Any] | None, scale: Scale, margin: float) -> Markup:
    """Draw a variant's interval and its seeds over the band of the margin; the text beside it says it too."""
    seeds = per_seed(variant, base)
    seeds = [value for value in seeds if len(seeds) > 1 and scale.low <= value <= scale.high]
    small = [tag("circle", class_="seed-dot", cx=scale.percent(value), cy=9, r=2.25) for value in seeds]
    marks = tag("svg", join([*_interval(variant["difference"], scale), *small]), y="38%", overflow="visible")
    tone = badge(variant["verdict"]).tone
    return _track(_ground(scale, margin), marks, class_=f"glyph tone-{tone}", aria_hidden="true")


def axis(scale: Scale, write: Callable[[float, int], str] = signed, about: int = 4) -> Markup:
    """Draw the numbers under a column of intervals."""
    decimals = scale.digits(about)
    labels = [
        tag("text", write(tick, decimals), x=scale.percent(tick), y=14, text_anchor="middle")
        for tick in scale.ticks(about)
    ]
    return _track(*labels, class_="axis", aria_hidden="true")


def class_rows(
    variant: Mapping[str, Any], scale: Scale, margin: float, digits: int, better: int = 1
) -> Markup:
    """Draw one row a class, the largest gain first; of very many only the two ends.

    Args:
        variant: A variant of a completed result.
        scale: Of the differences.
        margin: The least difference worth having, in the metric's unit.
        digits: Decimals.
        better: The sign of a gain: -1 if less is better.
    """
    rows = by_effect(variant["per_class"], better)
    ends = rows if len(rows) <= 2 * SHOWN_CLASSES else rows[:SHOWN_CLASSES] + rows[-SHOWN_CLASSES:]
    drawn = [
        _class_row(row, scale, margin, digits, better, first=not index) for index, row in enumerate(ends)
    ]
    if len(ends) < len(rows):
        text = f"{len(rows) - len(ends)} classes between these are in the table of numbers"
        drawn.insert(SHOWN_CLASSES, tag("p", text, class_="gap"))
    return tag(
        "div", *drawn, class_="rows", data_points="", role="group", aria_label=f"{variant['name']}, by class"
    )


def by_effect(rows: Sequence[Mapping[str, Any]], better: int = 1) -> list[Mapping[str, Any]]:
    """Sort the classes by their gain, the largest first; those without a value last."""
    return sorted(rows, key=lambda row: (row["mean"] is None, -better * (row["mean"] or 0.0), row["class"]))


def class_scale(variants: Iterable[Mapping[str, Any]]) -> Scale:
    """Return one scale for the effects on the classes under all variants."""
    rows = [row for variant in variants for row in variant["per_class"]]
    return Scale.over([0.0, *(row[end] for row in rows for end in ("mean", "low", "high"))])


def row(name: str, track: Markup, value: str, *more: Markup, mono: bool = False) -> Markup:
    """Return one row of a chart: a name, which may take several lines, the drawing, and the number."""
    words = tag("bdi", name, class_="row-name mono" if mono else "row-name")
    box = tag("div", track, class_="track-box")
    return tag("div", words, box, tag("span", value, class_="row-value"), *more, class_="row")


def _class_row(
    entry: Mapping[str, Any], scale: Scale, margin: float, digits: int, better: int, *, first: bool
) -> Markup:
    mean, low, high = entry["mean"], entry["low"], entry["high"]
    interval = f"interval {span(low, high, digits)}" if low is not None else "no interval"
    tip = f"{entry['class']}\n{signed(mean, digits)}\n{interval}\n{plain(entry['items'], 0)} test items"
    marks = tag("svg", join(_interval(entry, scale)), y="50%", overflow="visible")
    sure = low is not None and high is not None and not low <= 0 <= high
    tone = badge(("helps" if better * low > 0 else "hurts") if sure else "no verdict").tone
    hit = tag("rect", class_="hit", width="100%", height="100%")
    group = point(hit, marks, tip=tip, first=first, class_=f"tone-{tone}")
    return row(entry["class"], _track(_ground(scale, margin), group, class_="track"), signed(mean, digits))


def _ground(scale: Scale, margin: float) -> Markup:
    left, zero = 100 * scale.at(-margin), scale.percent(0)
    wide = f"{200 * (scale.at(margin) - scale.at(0)):.2f}%"
    band = tag("rect", class_="band", x=f"{left:.2f}%", width=wide, height="100%")
    return join([band, tag("line", class_="zero", x1=zero, x2=zero, y1=0, y2="100%")])


def _interval(entry: Mapping[str, Any], scale: Scale) -> list[Markup]:
    """Draw an interval and its middle at y = 0."""
    mean, low, high = entry["mean"], entry["low"], entry["high"]
    shapes = []
    if low is not None and high is not None:
        start, end = scale.percent(low), scale.percent(high)
        shapes = [tag("line", class_="bar", x1=start, x2=end)]
        shapes += [tag("line", class_="bar", x1=x, x2=x, y1=-4, y2=4) for x in (start, end)]
    return shapes if mean is None else [*shapes, tag("circle", class_="dot", cx=scale.percent(mean), r=4.25)]


def _track(*shapes: Markup, **attributes: object) -> Markup:
    return tag("svg", join(shapes), width="100%", **attributes)
