"""What judging found: scores by metric and map, what each map beats, and what was left out and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float64

from foveate.errors import UnknownNameError
from foveate.explain.judging.comparison import Comparison
from foveate.explain.judging.metric import Metric

_TOLD = ("smooth_random", "centre", "edges")


@dataclass(frozen=True, eq=False)
class Scores:
    """What one metric says about one method's maps; also a sequence of one number a picture.

    Args:
        metric: Its name, with the options that were given.
        map: The method, or the baseline.
        each: One number a picture (B,); NaN for pictures that are left out.
        low: Lower end of the interval of the mean over pictures.
        high: Its upper end.
        skipped: Why pictures are left out: reason -> how many.
        extra: Further numbers by name, one per picture (B,).
        curves: Scores on the way (B, P) by name, for metrics that have such.
    """

    metric: str
    map: str
    each: Float64[np.ndarray, " b"]
    low: float
    high: float
    skipped: Mapping[str, int] = field(default_factory=dict)
    extra: Mapping[str, Float64[np.ndarray, " b"]] = field(default_factory=dict)
    curves: Mapping[str, Float64[np.ndarray, "b p"]] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        """The mean over the pictures that have a score; NaN if none has."""
        return float(np.nanmean(self.each)) if self.pictures else float("nan")

    @property
    def pictures(self) -> int:
        """How many pictures have a score."""
        return int(np.isfinite(self.each).sum())

    def __len__(self) -> int:
        return len(self.each)

    def __getitem__(self, picture: Any) -> Any:
        return self.each[picture]

    def __iter__(self) -> Iterator[float]:
        return iter(self.each.tolist())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.each, dtype=dtype)

    def __str__(self) -> str:
        if not self.pictures:
            return "—"
        if np.isnan(self.low):
            return f"{self.mean:.3f}"
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True, eq=False)
class Judgement(Mapping[str, Scores]):
    """Scores by metric.

    ``judgement["deletion"]`` has the scores of the first map, ``judgement["deletion", "centre"]`` those of
    another one or of a baseline. ``print(judgement)`` shows all of them and what each map beats.

    Args:
        maps: The methods that were judged.
        baselines: What they were compared with.
        metrics: The metrics by the text that named them.
        scores: Metric -> map or baseline -> scores.
        comparisons: Every map against every baseline, by every metric that says what is better.
        grid: Rows and columns to which all maps were brought; None if each was judged as it came.
        pictures: How many there were.
        skipped: Pictures that no metric has judged, by the reason.
    """

    maps: tuple[str, ...]
    baselines: tuple[str, ...]
    metrics: Mapping[str, Metric]
    scores: Mapping[str, Mapping[str, Scores]]
    comparisons: Sequence[Comparison]
    grid: tuple[int, int] | None
    pictures: int
    skipped: Mapping[str, int] = field(default_factory=dict)

    def __getitem__(self, key: str | tuple[str, str]) -> Scores:
        metric, name = key if isinstance(key, tuple) else (key, self.maps[0])
        if metric not in self.scores:
            raise UnknownNameError("metric in this judgement", metric, self.scores)
        found = self.scores[metric]
        if name not in found:
            raise UnknownNameError(f"map judged by {metric}", name, found)
        return found[name]

    def __contains__(self, key: object) -> bool:
        return key in self.scores

    def __iter__(self) -> Iterator[str]:
        return iter(self.scores)

    def __len__(self) -> int:
        return len(self.scores)

    def beats(self, than: str, metric: str | None = None) -> list[Comparison]:
        """Return the comparisons of all maps with one baseline.

        Args:
            than: The baseline's name.
            metric: By this metric only.
        """
        return [c for c in self.comparisons if c.than == than and metric in (None, c.metric)]

    def rows(self) -> list[list[str]]:
        """Return the table: a row for each map and each baseline, a column for each metric."""
        return [
            [name, *(str(found[name]) if name in found else "" for found in self.scores.values())]
            for name in (*self.maps, *self.baselines)
        ]

    @property
    def told(self) -> list[Comparison]:
        """The comparisons that a reader asks about: with smooth random maps, the centre and the edges."""
        return [comparison for comparison in self.comparisons if comparison.than in _TOLD]

    def sentences(self, comparisons: Sequence[Comparison] | None = None) -> list[str]:
        """Return, metric by metric and map by map, what it is better than; of all comparisons by default."""
        return [
            f"{c.metric}, {c.map}: {c}" for c in (self.comparisons if comparisons is None else comparisons)
        ]

    def notes(self) -> list[str]:
        """Return what one must know to read the table: what is better, what was left out, what is tied."""
        directions = {
            "higher": "higher is better",
            "lower": "lower is better",
            "neither": "describes the map",
        }
        lines = [f"{text}: {m.asks} ({m.about}; {directions[m.better]})" for text, m in self.metrics.items()]
        if self.grid is not None:
            lines.append(f"All maps are brought to {self.grid[0]} x {self.grid[1]} cells.")
        lines += [
            f"Left out: {count} of {self.pictures} pictures, {why}." for why, count in self.skipped.items()
        ]
        for metric, found in self.scores.items():
            for name in self.maps:
                lines += _about(metric, found.get(name))
        return lines

    def as_plain(self) -> dict[str, Any]:
        """Return all of it as plain data, for JSON; NaN is None."""
        return {
            "pictures": self.pictures,
            "skipped": dict(self.skipped),
            "grid": self.grid,
            "maps": list(self.maps),
            "baselines": list(self.baselines),
            "scores": {
                metric: {name: _plain(one) for name, one in found.items()}
                for metric, found in self.scores.items()
            },
            "comparisons": [
                {
                    "metric": c.metric,
                    "map": c.map,
                    "than": c.than,
                    "answer": c.answer,
                    **{key: _number(getattr(c, key)) for key in ("mean", "low", "high", "level")},
                    "pictures": c.pictures,
                    "exact": c.exact,
                    "words": str(c),
                }
                for c in self.comparisons
            ],
        }

    def __str__(self) -> str:
        table = [["", *self.scores], *self.rows()]
        widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
        lines = [
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in table
        ]
        return "\n".join([*lines, "", *self.sentences(), "", *self.notes()])

    def __repr__(self) -> str:
        return f"Judgement of {', '.join(self.maps)} by {', '.join(self.scores)} on {self.pictures} pictures"


def _about(metric: str, found: Scores | None) -> list[str]:
    if found is None:
        return []
    start = f"{metric}, {found.map}: "
    lines = [
        f"{start}left out: {count} of {len(found)} pictures, {why}." for why, count in found.skipped.items()
    ]
    ties = found.extra.get("tied")
    if ties is not None and np.isfinite(ties).any() and (share := float(np.nanmean(ties))) >= 0.05:
        advice = "" if "spread over ties" in found.extra else "; breaks=5 breaks ties at random"
        lines.append(f"{start}{100 * share:.0f} % of the pixels are tied{advice}.")
    return lines


def _plain(scores: Scores) -> dict[str, Any]:
    return {
        "mean": _number(scores.mean),
        "low": _number(scores.low),
        "high": _number(scores.high),
        "pictures": scores.pictures,
        "skipped": dict(scores.skipped),
        "each": [_number(value) for value in scores.each],
        "extra": {name: [_number(value) for value in row] for name, row in scores.extra.items()},
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
