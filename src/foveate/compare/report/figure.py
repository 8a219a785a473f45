"""The figure for a paper: each variant's difference with its interval, and its cost beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from foveate.compare.report.intervals import per_seed
from foveate.compare.report.result import baseline, better
from foveate.compare.report.words import badge, singular
from foveate.explain.drawing.drawing import KINDS, one_line, plain_text, saved, style

COLOURS = {
    "helps": "#0a6b4b",
    "hurts": "#b0271e",
    "same": "#475061",
    "unknown": "#7f5200",
    "plain": "#55595f",
}
MARKERS = {"baseline": "s", "control": "D", "variant": "o"}
Read = Callable[[Mapping[str, Any]], float | None]


def draw(result: Mapping[str, Any]) -> dict[str, bytes]:
    """Draw the main figure of a completed result.

    Returns:
        The bytes of the file for "png" (300 dots an inch) and for "svg".
    """
    with mpl.rc_context(style()):
        figure = _figure(result)
    return {kind: saved(figure, kind, dots=300) for kind in KINDS}


def _figure(result: Mapping[str, Any]) -> Figure:
    variants = list(result["variants"])
    figure = Figure(figsize=(7.0, 0.9 + 0.36 * max(2, len(variants))), layout="constrained")
    panels = _panels(result)
    grid = figure.subplots(
        1, 1 + len(panels), sharey=True, width_ratios=[2.4, *([1] * len(panels))], squeeze=False
    )
    _differences(grid[0][0], result)
    for axes, (label, read) in zip(grid[0][1:], panels, strict=True):
        _costs(axes, variants, label, read)
    return figure


def _panels(result: Mapping[str, Any]) -> list[tuple[str, Read]]:
    """Return the costs to show: parameters, and latency where it was measured."""
    panels: list[tuple[str, Read]] = []
    if any(_parameters(variant) is not None for variant in result["variants"]):
        panels.append(("Parameters\n(thousands)", _parameters))
    if any(_latency(variant) is not None for variant in result["variants"]):
        panels.append((f"Latency of one\n{singular(result['question']['items_called'])} (ms)", _latency))
    return panels


def _parameters(variant: Mapping[str, Any]) -> float | None:
    value = variant["cost"]["parameters"]
    return None if value is None else value / 1e3


def _latency(variant: Mapping[str, Any]) -> float | None:
    return ((variant["latency"] or {}).get("single") or {}).get("median")


def _differences(axes: Axes, result: Mapping[str, Any]) -> None:
    variants, question, base = result["variants"], result["question"], baseline(result)
    axes.axvspan(-question["margin"], question["margin"], color="#2a52be", alpha=0.09, lw=0)
    axes.axvline(0, color="#55595f", lw=0.7)
    for row, variant in enumerate(variants):
        found = variant["difference"]
        if variant["role"] == "baseline":
            _mark(axes, 0.0, row, variant)
        elif found and found["mean"] is not None:
            _interval(axes, row, variant)
            seeds = per_seed(variant, base)
            axes.plot(seeds, [row + 0.24] * len(seeds), ".", color=_tone(variant), ms=2.5, alpha=0.7)
    metric = question["metric"]
    notes = [text for text in (metric["unit"], "" if better(result) > 0 else "less is better") if text]
    unit = f" ({', '.join(notes)})" if notes else ""
    level = f"{100 * question['level']:g} %"
    axes.set_xlabel(
        f"Difference in {metric['name']}{unit}\nsimultaneous {level} intervals; small dots: seeds"
    )
    axes.set_yticks(range(len(variants)), [one_line(variant["name"]) for variant in variants])
    plain_text(axes)
    axes.set_ylim(len(variants) - 0.5, -0.7)
    _bare(axes)


def _interval(axes: Axes, row: int, variant: Mapping[str, Any]) -> None:
    mean, low, high = (variant["difference"][key] for key in ("mean", "low", "high"))
    if low is not None and high is not None:
        axes.plot([low, high], [row, row], color=_tone(variant), lw=1.4, solid_capstyle="butt")
    _mark(axes, mean, row, variant)
    style: dict[str, Any] = {
        "textcoords": "offset points",
        "ha": "center",
        "fontsize": 6.5,
        "color": _tone(variant),
    }
    axes.annotate(variant["verdict"], (mean, row), (0, 5), **style)


def _costs(axes: Axes, variants: Sequence[Mapping[str, Any]], label: str, read: Read) -> None:
    for row, variant in enumerate(variants):
        value = read(variant)
        if value is not None:
            _mark(axes, value, row, variant)
    axes.set_xlabel(label)
    axes.margins(x=0.15)
    axes.locator_params(axis="x", nbins=4)
    axes.ticklabel_format(axis="x", useOffset=False, style="plain")
    _bare(axes)


def _mark(axes: Axes, value: float, row: int, variant: Mapping[str, Any]) -> None:
    """Draw a marker whose shape shows the role; only the baseline's is hollow."""
    face = "white" if variant["role"] == "baseline" else _tone(variant)
    axes.plot(value, row, MARKERS.get(variant["role"], "o"), color=_tone(variant), ms=4.5, mfc=face)


def _tone(variant: Mapping[str, Any]) -> str:
    return COLOURS[badge(variant["verdict"]).tone]


def _bare(axes: Axes) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=2.5, width=0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color="#e5e3de", lw=0.6)
    axes.set_axisbelow(True)
