"""The figure for a paper: each variant's difference with its interval, and beside it what it costs."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from foveate.compare.report.words import badge

COLOURS = {"helps": "#0a6b4b", "hurts": "#b0271e", "same": "#475061", "unknown": "#7f5200", "plain": "#55595f"}
MARKERS = {"baseline": "s", "control": "D", "variant": "o"}
_FONTS = ("Helvetica Neue", "Arial", "DejaVu Sans", "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei")
_STYLE: dict[str, Any] = {"font.size": 8, "axes.linewidth": 0.6, "svg.hashsalt": "foveate", "axes.unicode_minus": True}


def draw(result: Mapping[str, Any]) -> dict[str, bytes]:
    """Draw the main figure of a completed result.

    Returns:
        The bytes of the file for "png" (300 dots an inch) and for "svg".
    """
    with mpl.rc_context({**_STYLE, "font.family": _fonts()}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a box in its place is all one can do
        figure = _figure(result)
        FigureCanvasAgg(figure)
        return {kind: _saved(figure, kind) for kind in ("png", "svg")}


def _figure(result: Mapping[str, Any]) -> Figure:
    variants = list(result["variants"])
    figure = Figure(figsize=(7.0, 0.9 + 0.36 * max(2, len(variants))), layout="constrained")
    panels = _panels(result)
    grid = figure.subplots(1, 1 + len(panels), sharey=True, width_ratios=[2.4, *([1] * len(panels))], squeeze=False)
    _differences(grid[0][0], variants, result["question"])
    for axes, (label, read) in zip(grid[0][1:], panels, strict=True):
        _costs(axes, variants, label, read)
    return figure


def _panels(result: Mapping[str, Any]) -> list[tuple[str, Callable[[Mapping[str, Any]], float | None]]]:
    """Return the costs to show: multiply-adds, and latency where it was measured."""
    panels: list[tuple[str, Callable[[Mapping[str, Any]], float | None]]] = []
    if any(_parameters(variant) is not None for variant in result["variants"]):
        panels.append(("Parameters (thousands)", _parameters))
    if any(_latency(variant) is not None for variant in result["variants"]):
        panels.append(("Latency, one image (ms)", _latency))
    return panels


def _parameters(variant: Mapping[str, Any]) -> float | None:
    value = variant["cost"]["parameters"]
    return None if value is None else value / 1e3


def _latency(variant: Mapping[str, Any]) -> float | None:
    return ((variant["latency"] or {}).get("single") or {}).get("median")


def _differences(axes: Axes, variants: Sequence[Mapping[str, Any]], question: Mapping[str, Any]) -> None:
    margin, metric = question["margin"], question["metric"]
    axes.axvspan(-margin, margin, color="#2a52be", alpha=0.09, lw=0)
    axes.axvline(0, color="#55595f", lw=0.7)
    for row, variant in enumerate(variants):
        tone, mark = COLOURS[badge(variant["verdict"]).tone], MARKERS.get(variant["role"], "o")
        found = variant["difference"] or ({"mean": 0.0, "low": None} if variant["role"] == "baseline" else None)
        if found is None or found["mean"] is None:
            continue
        if found["low"] is not None and found["high"] is not None:
            axes.plot([found["low"], found["high"]], [row, row], color=tone, lw=1.4, solid_capstyle="butt")
        axes.plot(found["mean"], row, mark, color=tone, ms=4.5, mfc=tone if variant["difference"] else "white")
        axes.annotate(variant["verdict"], (found["mean"], row), (0, 5), textcoords="offset points", ha="center", fontsize=6.5, color=tone)
    axes.set_yticks(range(len(variants)), [_text(variant["name"]) for variant in variants])
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.set_ylim(len(variants) - 0.5, -0.7)
    unit = f" ({metric['unit']})" if metric["unit"] else ""
    axes.set_xlabel(f"Difference in {metric['name']}{unit}, simultaneous {100 * question['level']:g} % intervals")
    _bare(axes)


def _costs(axes: Axes, variants: Sequence[Mapping[str, Any]], label: str, read: Callable[[Mapping[str, Any]], float | None]) -> None:
    for row, variant in enumerate(variants):
        value = read(variant)
        if value is not None:
            tone = COLOURS[badge(variant["verdict"]).tone]
            axes.plot(value, row, MARKERS.get(variant["role"], "o"), color=tone, ms=4, mfc=tone if variant["difference"] else "white")
    axes.set_xlabel(label)
    axes.margins(x=0.15)
    axes.locator_params(axis="x", nbins=4)
    axes.ticklabel_format(axis="x", useOffset=False, style="plain")
    _bare(axes)


def _bare(axes: Axes) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=2.5, width=0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color="#e5e3de", lw=0.6)
    axes.set_axisbelow(True)


def _text(name: str) -> str:
    """Return a name as the figure can hold it: one line, not too long, no characters that XML forbids."""
    clean = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]", "\N{REPLACEMENT CHARACTER}", name)
    return clean if len(clean) <= 42 else f"{clean[:41]}…"


def _fonts() -> list[str]:
    have = set(font_manager.get_font_names())
    return [font for font in _FONTS if font in have] or ["sans-serif"]


def _saved(figure: Figure, kind: str) -> bytes:
    """Return the file's bytes, the same ones for the same result."""
    data = io.BytesIO()
    figure.savefig(data, format=kind, dpi=300, metadata={"Date": None} if kind == "svg" else {"Software": None})
    return data.getvalue()
