"""What the axes of the plot of quality against cost can show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from foveate.compare.report.result import digits
from foveate.compare.report.words import heading, mebibytes, milliseconds, plain, short, signed, singular


@dataclass(frozen=True)
class Value:
    """A number with its interval, if it has one."""

    mean: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Axis:
    """One quantity that an axis can show.

    Args:
        key: Its short name.
        label: What the reader sees.
        read: Returns the value of a variant; None where it was not measured.
        write: Formats one number.
    """

    key: str
    label: str
    read: Callable[[Mapping[str, Any]], Value | None]
    write: Callable[[float | None], str]


def _timed(kind: str, *, each: bool) -> Callable[[Mapping[str, Any]], Value | None]:
    def read(variant: Mapping[str, Any]) -> Value | None:
        timing = (variant["latency"] or {}).get(kind)
        if not timing or timing.get("median") is None:
            return None
        by = (timing.get("images") or 1) if each else 1
        low, high = (None if timing.get(end) is None else timing[end] / by for end in ("low", "high"))
        return Value(timing["median"] / by, low, high)

    return read


def _number(*path: str) -> Callable[[Mapping[str, Any]], Value | None]:
    def read(variant: Mapping[str, Any]) -> Value | None:
        value: Any = variant
        for key in path:
            value = (value or {}).get(key)
        return None if value is None else Value(float(value))

    return read


def costs(result: Mapping[str, Any]) -> list[Axis]:
    """Return the costs that at least one variant has."""
    one = singular(result["question"]["items_called"])
    known = (
        Axis("latency", f"Latency, one {one}", _timed("single", each=False), milliseconds),
        Axis("batch", f"Latency per {one}, in a batch", _timed("batch", each=True), milliseconds),
        Axis("macs", f"Multiply-adds per {one}", _number("cost", "macs"), short),
        Axis("parameters", "Parameters", _number("cost", "parameters"), short),
        Axis("memory", "Peak memory, inference", _number("memory", "inference"), mebibytes),
        Axis("training", "Peak memory, training", _number("memory", "training"), mebibytes),
    )
    return [axis for axis in known if any(axis.read(variant) for variant in result["variants"])]


def qualities(result: Mapping[str, Any]) -> list[Axis]:
    """Return the ways to show quality: the paired difference, which is more precise, and the score itself."""
    metric, first = result["question"]["metric"], digits(result)
    unit = f" ({metric['unit']})" if metric["unit"] else ""
    score = Axis("score", f"{heading(metric['name'])}{unit}", _score, lambda value: plain(value, first))
    differ = Axis(
        "difference", f"Difference to the baseline{unit}", _difference, lambda value: signed(value, first + 1)
    )
    return [differ, score] if any(variant["difference"] for variant in result["variants"]) else [score]


def _score(variant: Mapping[str, Any]) -> Value | None:
    score = variant["score"]
    return None if score["mean"] is None else Value(score["mean"], score["low"], score["high"])


def _difference(variant: Mapping[str, Any]) -> Value | None:
    if variant["role"] == "baseline":
        return Value(0.0)
    found = variant["difference"]
    return None if not found or found["mean"] is None else Value(found["mean"], found["low"], found["high"])
