"""How far each gate opened: per site the value of every seed at the end, and its way there over the epochs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from markupsafe import Markup

from foveate.compare.report.svg import Scale, join, point, tag
from foveate.compare.report.words import plain

HEIGHT = 24
WIDTH = 96  # of the small curve


def gate_scale(variants: Iterable[Mapping[str, Any]]) -> Scale:
    """Return one scale for all openings, from 0 or below to the widest one."""
    values = [0.0]
    for variant in variants:
        values += [value for gate in variant["gates"] for value in gate["openings"] if value is not None]
        values += [value for line in _all_ways(variant) for _, value in line]
    return Scale.over(values, room=0.05)


def rows(variant: Mapping[str, Any], scale: Scale) -> Markup:
    """Draw one row a site."""
    seeds = [curve.get("seed") for curve in variant["curves"]]
    drawn = [_row(variant, gate, seeds, scale, first=not index) for index, gate in enumerate(variant["gates"])]
    label = f"{variant['name']}, gates"
    return tag("div", *drawn, class_="rows gates", data_points="", role="group", aria_label=label)


def ways(variant: Mapping[str, Any], site: str) -> list[list[tuple[float, float]]]:
    """Return one line a seed: (epoch, opening) of one site."""
    found = []
    for curve in variant["curves"]:
        epochs = [(entry["epoch"], (entry.get("openings") or {}).get(site)) for entry in curve["epochs"]]
        found.append([(float(epoch), float(value)) for epoch, value in epochs if value is not None])
    return [line for line in found if line]


def _all_ways(variant: Mapping[str, Any]) -> list[list[tuple[float, float]]]:
    return [line for gate in variant["gates"] for line in ways(variant, gate["site"])]


def _row(variant: Mapping[str, Any], gate: Mapping[str, Any], seeds: list[Any], scale: Scale, *, first: bool) -> Markup:
    values = [value for value in gate["openings"] if value is not None]
    middle = sum(values) / len(values) if values else None
    named = [f"seed {seed}: {plain(v, 3)}" for seed, v in zip(seeds, values, strict=False)]
    each = named if len(named) == len(values) else [plain(value, 3) for value in values]
    tip = "\n".join([gate["site"], f"{gate['mechanism']}, mean opening {plain(middle, 3)}", *each])
    shapes = [tag("rect", class_="hit", width="100%", height=HEIGHT)]
    if middle is not None:
        ends = {"x1": scale.percent(0), "x2": scale.percent(middle)}
        shapes.append(tag("line", class_="stem", y1=HEIGHT / 2, y2=HEIGHT / 2, **ends))
    shapes += [tag("circle", class_="dot", cx=scale.percent(v), cy=HEIGHT / 2, r=4.5) for v in values]
    zero = tag("line", class_="zero", x1=scale.percent(0), x2=scale.percent(0), y1=0, y2=HEIGHT)
    drawn = point(*shapes, tip=tip, first=first, class_="tone-accent")
    track = tag("svg", zero, drawn, width="100%", height=HEIGHT, class_="track", role="group")
    name = tag("bdi", gate["site"], class_="row-name mono", title=gate["site"])
    value = tag("span", plain(middle, 3), class_="row-value")
    return tag("div", name, track, value, _spark(variant, gate["site"], scale), class_="row")


def _spark(variant: Mapping[str, Any], site: str, scale: Scale) -> Markup:
    """Draw the way of every seed over the epochs, small; the numbers are in the table below the chart."""
    drawn = ways(variant, site)
    across = Scale.over((epoch for line in drawn for epoch, _ in line), room=0.02)
    paths = []
    for line in drawn:
        spots = " ".join(f"{WIDTH * across.at(e):.1f},{scale.down(v, HEIGHT - 2) + 1:.1f}" for e, v in line)
        paths.append(tag("polyline", points=spots, class_="curve seed"))
    box = f"0 0 {WIDTH} {HEIGHT}"
    return tag("svg", join(paths), class_="spark", width=WIDTH, height=HEIGHT, viewBox=box, aria_hidden="true")
