"""Learning curves: one panel a variant, its seeds as thin lines, their mean as a thick one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from foveate.compare.report.result import baseline
from foveate.compare.report.svg import Scale, join, point, tag
from foveate.compare.report.words import plain

HEIGHT = 150
Line = list[tuple[float, float]]  # (epoch, value)


_PART = "losses."  # before the name of a part of the model whose loss is drawn


def measures(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what can be drawn, as (key, label): validation score, training loss, the loss of each part."""
    name = result["question"]["metric"]["name"]
    curves = [curve for variant in result["variants"] for curve in variant["curves"]]
    parts = dict.fromkeys(p for curve in curves for e in curve["epochs"] for p in e.get("losses") or {} if p)
    known = [("val_score", f"Validation {name}"), ("train_loss", "Training loss")]
    known += [(f"{_PART}{part}", f"Loss of the {part}") for part in parts]
    return [(key, label) for key, label in known if any(lines(v, key) for v in result["variants"])]


def value(entry: Mapping[str, Any], key: str) -> float | None:
    """Return what an epoch has of a measure."""
    if key.startswith(_PART):
        return (entry.get("losses") or {}).get(key.removeprefix(_PART))
    return entry.get(key)


def lines(variant: Mapping[str, Any], key: str) -> list[Line]:
    """Return one line a seed; epochs without the value are left out, and so are seeds without any."""
    found = [
        [(epoch, float(at)) for epoch, entry in numbered(curve) if (at := value(entry, key)) is not None]
        for curve in variant["curves"]
    ]
    return [line for line in found if line]


def numbered(curve: Mapping[str, Any]) -> list[tuple[float, Mapping[str, Any]]]:
    """Return the epochs of a run with their numbers, counted from 1 even if the run counts from 0."""
    entries = curve["epochs"]
    first = min((entry["epoch"] for entry in entries), default=1)
    return [(float(entry["epoch"] + (first == 0)), entry) for entry in entries]


def mean(of: Sequence[Line]) -> Line:
    """Return the mean over the seeds that have each epoch."""
    at: dict[float, list[float]] = {}
    for line in of:
        for epoch, value in line:
            at.setdefault(epoch, []).append(value)
    return [(epoch, sum(values) / len(values)) for epoch, values in sorted(at.items())]


def scales(result: Mapping[str, Any], key: str) -> tuple[Scale, Scale]:
    """Return the scales of the epochs and of the values, shared by all panels."""
    points = [spot for variant in result["variants"] for line in lines(variant, key) for spot in line]
    epochs, values = [spot[0] for spot in points], [spot[1] for spot in points]
    return Scale.over(epochs, room=0.03), Scale.over(values, room=0.08)


def panel(result: Mapping[str, Any], variant: Mapping[str, Any], key: str, label: str) -> Markup:
    """Draw the curves of one variant."""
    across, upright = scales(result, key)
    seeds = lines(variant, key)
    behind = baseline(result)
    ghost = mean(lines(behind, key)) if behind and behind is not variant else []
    middle = mean(seeds)
    drawn = [_line(line, across, upright, "seed") for line in seeds] if len(seeds) > 1 else []
    paths = join([_line(ghost, across, upright, "ghost"), *drawn, _line(middle, across, upright, "mean")])
    stretched = tag(
        "svg", paths, width="100%", height=HEIGHT, viewBox="0 0 1000 1000", preserveAspectRatio="none"
    )
    dots = [
        _dot(epoch, value, across, upright, _tip(variant, label, epoch, value, seeds), first=not index)
        for index, (epoch, value) in enumerate(middle)
    ]
    parts = [_ground(across, upright), stretched, tag("g", join(dots), data_points="")]
    described = f"{variant['name']}: {label}"
    return tag(
        "svg", *parts, width="100%", height=HEIGHT, class_="plot small", role="group", aria_label=described
    )


def _tip(variant: Mapping[str, Any], label: str, epoch: float, value: float, seeds: Sequence[Line]) -> str:
    each = [plain(at, 2) for line in seeds for when, at in line if when == epoch]
    rows = [f"{variant['name']}", f"epoch {epoch:g}", f"{label.lower()} {plain(value, 2)}"]
    return "\n".join([*rows, f"seeds: {', '.join(each)}"] if len(each) > 1 else rows)


def _line(of: Iterable[tuple[float, float]], across: Scale, upright: Scale, kind: str) -> Markup:
    spots = [f"{1000 * across.at(epoch):.1f},{1000 * (1 - upright.at(value)):.1f}" for epoch, value in of]
    if not spots:
        return Markup("")
    return tag("polyline", points=" ".join(spots), class_=f"curve {kind}", vector_effect="non-scaling-stroke")


def _dot(epoch: float, value: float, across: Scale, upright: Scale, tip: str, *, first: bool) -> Markup:
    where = {"cx": across.percent(epoch), "cy": upright.down(value, HEIGHT)}
    shapes = [tag("circle", class_="hit", r=11, **where), tag("circle", class_="dot quiet", r=4, **where)]
    return point(*shapes, tip=tip, first=first)


def _ground(across: Scale, upright: Scale) -> Markup:
    parts = []
    for tick in upright.ticks(3):
        y = upright.down(tick, HEIGHT)
        parts.append(tag("line", class_="grid", x1=0, x2="100%", y1=y, y2=y))
        text = plain(tick, upright.digits(3))
        parts.append(tag("text", text, class_="tick", x=-8, y=y, dy="0.32em", text_anchor="end"))
    whole = [tick for tick in across.ticks(4) if abs(tick - round(tick)) < 1e-9]
    for tick in whole:
        x = across.percent(tick)
        parts.append(tag("text", f"{tick:.0f}", class_="tick", x=x, y=HEIGHT + 16, text_anchor="middle"))
    return tag("g", join(parts), aria_hidden="true")
