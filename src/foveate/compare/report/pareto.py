"""Quality against cost: the plot of one pair of axes, with the Pareto frontier."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from foveate.compare.report.axes import Axis, Value
from foveate.compare.report.svg import Scale, join, point, tag
from foveate.compare.report.words import badge, count, letter, mebibytes, milliseconds, plain, signed

HEIGHT = 320
SIDE = 26  # pixels between points of equal cost, such as a variant and its control
NEAR = 0.03  # share of the width below which costs count as equal


@dataclass(frozen=True)
class Spot:
    """One variant in the plot: its row in the table, its values, and its horizontal offset in pixels."""

    index: int
    variant: Mapping[str, Any]
    x: Value
    y: Value
    aside: float = 0.0
    best: bool = False


def plot(result: Mapping[str, Any], cost: Axis, quality: Axis) -> Markup:
    """Draw every variant at its cost and its quality, and the frontier of those not beaten in both."""
    spots = _spots(result, cost, quality)
    across = Scale.over((end for spot in spots for end in _ends(spot.x)), room=0.12)
    zero = [0.0, result["question"]["margin"]] if quality.key == "difference" else []
    upright = Scale.over([*zero, *(end for spot in spots for end in _ends(spot.y))], room=0.1)
    spots = _apart(spots, across)
    ground = _ground(across, upright, cost, quality, result["question"]["margin"])
    line = _frontier([spot for spot in spots if spot.best], across, upright)
    points = [_spot(spot, across, upright, _tip(spot, cost, quality)) for spot in spots]
    label = f"{quality.label} against {cost.label.lower()}"
    inside = tag("g", join(points), data_points="all")
    return tag(
        "svg",
        ground,
        line,
        inside,
        width="100%",
        height=HEIGHT,
        class_="plot",
        role="group",
        aria_label=label,
    )


def _spots(result: Mapping[str, Any], cost: Axis, quality: Axis) -> list[Spot]:
    found = []
    for index, variant in enumerate(result["variants"]):
        x, y = cost.read(variant), quality.read(variant)
        if x is not None and y is not None:
            found.append(Spot(index, variant, x, y))
    sign = 1 if result["question"]["metric"]["higher_is_better"] else -1
    return [replace(spot, best=not any(_beats(other, spot, sign) for other in found)) for spot in found]


def _beats(one: Spot, other: Spot, sign: int) -> bool:
    gain, saved = sign * (one.y.mean - other.y.mean), other.x.mean - one.x.mean
    return gain >= 0 and saved >= 0 and (gain > 0 or saved > 0)


def _apart(spots: Sequence[Spot], across: Scale) -> list[Spot]:
    """Place points of nearly equal cost side by side, in order, so that no interval hides another."""
    groups: list[list[Spot]] = []
    for spot in sorted(spots, key=lambda spot: (spot.x.mean, spot.index)):
        if groups and across.at(spot.x.mean) - across.at(groups[-1][0].x.mean) < NEAR:
            groups[-1].append(spot)
        else:
            groups.append([spot])
    placed = [
        replace(spot, aside=SIDE * (place - (len(group) - 1) / 2))
        for group in groups
        for place, spot in enumerate(group)
    ]
    return sorted(placed, key=lambda spot: spot.index)


def _ends(value: Value) -> Iterable[float | None]:
    return value.mean, value.low, value.high


def _ground(across: Scale, upright: Scale, cost: Axis, quality: Axis, margin: float) -> Markup:
    parts: list[Markup] = []
    if quality.key == "difference":
        top, bottom = (
            upright.down(min(margin, upright.high), HEIGHT),
            upright.down(max(-margin, upright.low), HEIGHT),
        )
        parts.append(tag("rect", class_="band", y=top, width="100%", height=round(bottom - top, 2)))
    write = signed if quality.key == "difference" else plain
    for tick in upright.ticks(6):
        y = upright.down(tick, HEIGHT)
        kind = "zero" if quality.key == "difference" and abs(tick) < 1e-12 else "grid"
        parts.append(tag("line", class_=kind, x1=0, x2="100%", y1=y, y2=y))
        text = write(tick, upright.digits(6))
        parts.append(tag("text", text, class_="tick", x=-10, y=y, dy="0.32em", text_anchor="end"))
    for tick in across.ticks(4):
        x = across.percent(tick)
        parts.append(tag("line", class_="grid", x1=x, x2=x, y1=HEIGHT, y2=HEIGHT + 5))
        text = _tick(tick, across, cost)
        parts.append(tag("text", text, class_="tick", x=x, y=HEIGHT + 20, text_anchor="middle"))
    parts.append(tag("line", class_="axis-line", x1=0, x2="100%", y1=HEIGHT, y2=HEIGHT))
    return tag("g", join(parts), aria_hidden="true")


def _tick(value: float, across: Scale, cost: Axis) -> str:
    """Write a tick with enough decimals to distinguish it from the next one."""
    if cost.write is milliseconds:
        return f"{plain(value, across.digits(4))}\N{NO-BREAK SPACE}ms"
    if cost.write is mebibytes:
        unit = Scale(across.low / 2**20, across.high / 2**20)
        return f"{plain(value / 2**20, unit.digits(4))}\N{NO-BREAK SPACE}MiB"
    for factor, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if across.high >= factor:
            unit = Scale(across.low / factor, across.high / factor)
            return f"{plain(value / factor, unit.digits(4))}\N{NO-BREAK SPACE}{name}"
    return plain(value, across.digits(4))


def _frontier(best: Sequence[Spot], across: Scale, upright: Scale) -> Markup:
    parts, ordered = [], sorted(best, key=lambda spot: spot.x.mean)
    for one, following in pairwise(ordered):
        x1, x2 = across.percent(one.x.mean), across.percent(following.x.mean)
        y1, y2 = upright.down(one.y.mean, HEIGHT), upright.down(following.y.mean, HEIGHT)
        parts.append(tag("line", x1=x1, x2=x2, y1=y1, y2=y1))
        parts.append(tag("line", x1=x2, x2=x2, y1=y1, y2=y2))
    return tag("g", join(parts), class_="frontier", aria_hidden="true")


def _spot(spot: Spot, across: Scale, upright: Scale, tip: str) -> Markup:
    """Draw one variant in a nested SVG whose origin is its cost, so that all else is in pixels."""
    y = upright.down(spot.y.mean, HEIGHT)
    shapes = [tag("circle", class_="hit", cy=y, r=18), tag("circle", class_="ring", cy=y, r=15)]
    if spot.y.low is not None and spot.y.high is not None:
        ends = upright.down(spot.y.low, HEIGHT), upright.down(spot.y.high, HEIGHT)
        shapes.append(tag("line", class_="bar", y1=ends[0], y2=ends[1]))
        shapes += [tag("line", class_="bar", x1=-5, x2=5, y1=end, y2=end) for end in ends]
    shapes += [
        _shape(spot.variant["role"], y),
        tag("text", letter(spot.index), class_="letter", y=y, dy="0.34em"),
    ]
    inner = tag("g", *shapes, transform=f"translate({spot.aside:g} 0)")
    across_bar = _sideways(spot, across, y)
    moved = tag("svg", inner, x=across.percent(spot.x.mean), overflow="visible", class_="at")
    return point(across_bar, moved, tip=tip, class_=f"tone-{badge(spot.variant['verdict']).tone}")


def _sideways(spot: Spot, across: Scale, y: float) -> Markup:
    if spot.x.low is None or spot.x.high is None:
        return Markup("")
    ends = {"x1": across.percent(spot.x.low), "x2": across.percent(spot.x.high)}
    return tag("line", class_="bar faint", y1=y, y2=y, transform=f"translate({spot.aside:g} 0)", **ends)


def _shape(role: str, y: float) -> Markup:
    """Draw the marker: a square for the baseline, a diamond for a control, a disc for a variant."""
    if role == "baseline":
        return tag("rect", class_="mark", x=-10, y=y - 10, width=20, height=20, rx=3)
    if role == "control":
        return tag("path", class_="mark", d=f"M0 {y - 13:g}L13 {y:g}L0 {y + 13:g}L-13 {y:g}Z")
    return tag("circle", class_="mark", cy=y, r=11)


def _tip(spot: Spot, cost: Axis, quality: Axis) -> str:
    y, variant = spot.y, spot.variant
    lines = [f"{letter(spot.index)} {variant['name']}", variant["verdict"]]
    if variant["role"] != "baseline" or quality.key == "score":
        lines.append(_stated(quality, y, quality.write))
    lines.append(_stated(cost, spot.x, count if cost.key == "parameters" else cost.write))
    return "\n".join(
        [*lines, "on the frontier: no variant is both cheaper and better"] if spot.best else lines
    )


def _stated(axis: Axis, value: Value, write: Callable[[float | None], str]) -> str:
    text = f"{axis.label[:1].lower()}{axis.label[1:]}: {write(value.mean)}"
    if value.low is None or value.high is None:
        return text
    return f"{text} ({write(value.low)} to {write(value.high)})"
