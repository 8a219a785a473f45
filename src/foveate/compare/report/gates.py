"""How far each gate opened: every seed's final value at each site, and its course over the epochs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from markupsafe import Markup

from foveate.compare.report.curves import numbered
from foveate.compare.report.intervals import row
from foveate.compare.report.svg import Scale, join, point, tag
from foveate.compare.report.words import plain

WIDTH, HEIGHT = 96, 26  # of the small curve, in pixels


def gate_scale(variants: Iterable[Mapping[str, Any]]) -> Scale:
    """Return one scale for all openings that includes 0."""
    values: list[float | None] = [0.0]
    for variant in variants:
        for gate in variant["gates"]:
            values += [
                *gate["openings"],
                *(value for line in ways(variant, gate) for _, value in line),
            ]
    return Scale.over(values, room=0.05)


def rows(variant: Mapping[str, Any], scale: Scale) -> Markup:
    """Draw one row a site."""
    drawn = [_row(variant, gate, scale, first=not index) for index, gate in enumerate(variant["gates"])]
    label = f"{variant['name']}, gates"
    return tag("div", *drawn, class_="rows gates", data_points="", role="group", aria_label=label)


def ways(variant: Mapping[str, Any], gate: Mapping[str, Any]) -> list[list[tuple[float, float]]]:
    """Return one line a seed: (epoch, opening) of one gate.

    The curves name it by the path of its mechanism, which distinguishes two at one site, or by the site.
    """
    site, path, found = gate["site"], f"{gate['site']}.foveate.{gate['mechanism']}", []
    for curve in variant["curves"]:
        named = [(epoch, entry.get("openings") or {}) for epoch, entry in numbered(curve)]
        epochs = [(epoch, openings.get(path, openings.get(site))) for epoch, openings in named]
        found.append([(epoch, float(value)) for epoch, value in epochs if value is not None])
    return [line for line in found if line]


def by_seed(variant: Mapping[str, Any], gate: Mapping[str, Any]) -> list[tuple[str, float | None]]:
    """Return (seed, opening); seeds are numbered from 1 if the curves do not name them."""
    seeds = [str(curve.get("seed")) for curve in variant["curves"]]
    if len(seeds) != len(gate["openings"]):
        seeds = [f"number {index + 1}" for index in range(len(gate["openings"]))]
    return list(zip(seeds, gate["openings"], strict=True))


def _row(variant: Mapping[str, Any], gate: Mapping[str, Any], scale: Scale, *, first: bool) -> Markup:
    values = [value for value in gate["openings"] if value is not None]
    middle = sum(values) / len(values) if values else None
    each = [f"seed {seed}: {plain(value, 3)}" for seed, value in by_seed(variant, gate)]
    tip = "\n".join([gate["site"], f"{gate['mechanism']}, mean opening {plain(middle, 3)}", *each])
    stem = Markup("")
    if middle is not None:
        stem = tag("line", class_="stem", x1=scale.percent(0), x2=scale.percent(middle))
    dots = [tag("circle", class_="dot", cx=scale.percent(value), r=4.5) for value in values]
    marks = tag("svg", stem, *dots, y="50%", overflow="visible")
    drawn = point(tag("rect", class_="hit", width="100%", height="100%"), marks, tip=tip, first=first)
    zero = tag("line", class_="zero", x1=scale.percent(0), x2=scale.percent(0), y1=0, y2="100%")
    track = tag("svg", zero, drawn, width="100%", class_="track tone-accent")
    return row(gate["site"], track, plain(middle, 2), _spark(variant, gate, scale), mono=True)


def _spark(variant: Mapping[str, Any], gate: Mapping[str, Any], scale: Scale) -> Markup:
    """Draw the course of every seed over the epochs, small."""
    drawn = ways(variant, gate)
    across = Scale.over((epoch for line in drawn for epoch, _ in line), room=0.02)
    paths = []
    for line in drawn:
        spots = " ".join(f"{WIDTH * across.at(e):.1f},{scale.down(v, HEIGHT - 2) + 1:.1f}" for e, v in line)
        paths.append(tag("polyline", points=spots, class_="curve seed"))
    box = f"0 0 {WIDTH} {HEIGHT}"
    return tag(
        "svg", join(paths), class_="spark", viewBox=box, preserveAspectRatio="none", aria_hidden="true"
    )
