"""A study's table, as rows and as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foveate.quantities import short


class Table(list[dict[str, Any]]):
    """One row per variant; ``pandas.DataFrame(study.table)`` takes it, ``print`` shows it in 80 columns."""

    def __str__(self) -> str:
        """Return the table as text."""
        unit = f"{self[0]['unit']}" if self else ""
        head = f"{'variant':<26}{unit:>7}{'difference':>12}  {'interval':<16}{'params':>7}  verdict"
        return "\n".join((head, *(_line(row) for row in self), *self.notes))

    @property
    def notes(self) -> list[str]:
        """What has to be said beside the table."""
        seeds = sorted({row["seeds"] for row in self})
        if len(seeds) < 2:
            return []
        return [
            "",
            f"Variants have {seeds[0]} to {seeds[-1]} seeds; differences bring their scores to all seeds.",
        ]

    __repr__ = __str__


def table(result: Mapping[str, Any]) -> Table:
    """Return the rows of a result: score, difference with interval, cost and verdict of each variant."""
    unit = result["question"]["metric"]["unit"]
    return Table(_row(variant, unit) for variant in result["variants"])


def _row(v: Mapping[str, Any], unit: str) -> dict[str, Any]:
    d, latency = v["difference"] or {}, v["latency"] or {}
    return {
        "variant": v["name"],
        "role": v["role"],
        "unit": unit,
        "score": v["score"]["mean"],
        "seeds": len(v["score"].get("per_seed") or ()),
        "difference": d.get("mean"),
        **{key: d.get(key) for key in ("low", "high", "p_adjusted", "pairing", "detectable")},
        **v["cost"],
        "milliseconds": (latency.get("single") or {}).get("median"),
        "verdict": v["verdict"],
    }


def _line(row: Mapping[str, Any]) -> str:
    name = row["variant"] if len(row["variant"]) <= 25 else row["variant"][:24] + "…"
    difference = "" if row["difference"] is None else f"{row['difference']:+.1f}"
    interval = "" if row["low"] is None else f"({row['low']:.1f} to {row['high']:.1f})"
    cost = short(row["parameters"])
    return f"{name:<26}{row['score']:>7.1f}{difference:>12}  {interval:<16}{cost:>7}  {row['verdict']}"
