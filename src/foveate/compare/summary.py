"""Numbers of each variant for the report: scores, differences, effect per class, gates, learning curves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from foveate.compare.statistics.crossed_effects import components, interval
from foveate.compare.statistics.difference import Difference
from foveate.tasks.metric import Metric

_ROUNDING = 1e-9  # of pseudo-values that are the items' own scores


def score(y: np.ndarray, metric: Metric, level: float) -> dict[str, Any]:
    """Return the mean score of a variant with its interval, from its scores (S, N), in the metric's unit."""
    c = components(y, span=None)
    ends = interval(c, level)
    low, high = ends if ends is not None else (None, None)
    return {
        "mean": metric.scale * c.mean,
        "per_seed": [float(metric.scale * mean) for mean in y.mean(axis=1)],
        "low": _within(low, metric),
        "high": _within(high, metric),
    }


def on_all_seeds(found: Mapping[str, Any], mean: float, metric: Metric) -> dict[str, Any]:
    """Return the score of a variant with fewer seeds than the baseline, as on all of the baseline's seeds.

    Args:
        found: Its score on its own seeds, of which ``per_seed`` stays.
        mean: The baseline's mean score on all seeds plus the variant's difference.
        metric: What the scores are.
    """
    shift = mean - found["mean"]
    ends = {name: None if found[name] is None else found[name] + shift for name in ("low", "high")}
    scaled = {name: None if end is None else end / metric.scale for name, end in ends.items()}
    return {**found, "mean": mean, **{name: _within(end, metric) for name, end in scaled.items()}}


def in_unit(d: Difference, metric: Metric) -> Difference:
    """Return a difference of scores in the metric's unit."""

    def scaled(value: float | None) -> float | None:
        return None if value is None else metric.scale * value

    return replace(
        d,
        mean=metric.scale * d.mean,
        low=scaled(d.low),
        high=scaled(d.high),
        detectable=scaled(d.detectable),
        seed_sd=scaled(d.seed_sd),
        item_sd=scaled(d.item_sd),
    )


def as_data(d: Difference) -> dict[str, Any]:
    """Return a difference as plain data; degrees of freedom that are infinite become null."""
    more = None if d.seeds_to_know is None else d.seeds_to_know - d.seeds
    return asdict(d) | {"more_seeds": more, "df": d.df if d.df is not None and np.isfinite(d.df) else None}


def per_class(
    scores: Sequence[np.ndarray],
    baseline: Sequence[np.ndarray] | None,
    classes: Sequence[str],
    metric: Metric,
    level: float,
) -> list[dict[str, Any]]:
    """Return the difference to the baseline within each class; the score itself if ``baseline`` is None.

    These intervals are for looking, each at ``level`` by itself: no verdict rests on them.

    Args:
        scores: For each class the scores (S, n) of the test items that speak of it; NaN where they do not.
        baseline: The baseline's, likewise.
        classes: Names of the classes.
        metric: What the scores are.
        level: Confidence of each interval.
    """
    found = []
    for number, name in enumerate(classes[: len(scores)]):
        y = scores[number]
        d = y if baseline is None else y - baseline[number]
        entry: dict[str, Any] = {
            "class": name,
            "items": d.shape[1],
            "mean": None,
            "low": None,
            "high": None,
        }
        if d.size and not np.isnan(d).any():
            parts = (y,) if baseline is None else (y, baseline[number])
            c = components(d, span=None if baseline is None else metric_span(metric, parts))
            low, high = interval(c, level) or (None, None)
            entry["mean"] = metric.scale * c.mean
            entry["low"] = None if low is None else metric.scale * low
            entry["high"] = None if high is None else metric.scale * high
            if baseline is None:
                entry |= {"low": _within(low, metric), "high": _within(high, metric)}
        found.append(entry)
    return found


def figures(runs: Sequence[Mapping[str, float]]) -> list[dict[str, Any]]:
    """Return the further figures of a variant: their mean over seeds, and each seed's."""
    by_name = {name: [float(run[name]) for run in runs] for name in (runs[0] if runs else ())}
    return [
        {"name": name, "mean": float(np.mean(values)), "per_seed": values} for name, values in by_name.items()
    ]


def gates(histories: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return how far each gate had opened at the end of each seed's run."""
    found: dict[str, list[float]] = defaultdict(list)
    for history in histories:
        for path, opening in (history[-1]["openings"] if history else {}).items():
            found[path].append(float(opening))
    return [
        {"site": site_of(path), "mechanism": _mechanism_of(path), "openings": o} for path, o in found.items()
    ]


def curves(histories: Mapping[int, Sequence[Mapping[str, Any]]], metric: Metric) -> list[dict[str, Any]]:
    """Return the learning curve of each seed's run, validation scores in the metric's unit."""
    return [
        {"seed": seed, "epochs": [_epoch(e, metric) for e in history]} for seed, history in histories.items()
    ]


def site_of(path: str) -> str:
    """Return where a mechanism sits: ``layer3`` of ``layer3.foveate.se``."""
    return path.rpartition("foveate.")[0].rstrip(".") or path


def metric_span(metric: Metric, scores: Iterable[np.ndarray] = ()) -> float | None:
    """Return the range of one item's score: 1 for a share, None where nothing bounds it, as pseudo-values.

    None also where items do not reach the bounds: CIDEr's 10 is far from what any caption scores.

    Args:
        metric: What the scores are.
        scores: All of them. An average over the items that have a score is not one over all items, and the
            pseudo-values of its items may leave the range.
    """
    low, high = metric.bounds or (-np.inf, np.inf)
    inside = all((y > low - _ROUNDING).all() and (y < high + _ROUNDING).all() for y in scores)
    bounded = metric.averages and metric.reaches_bounds and np.isfinite(high - low)
    return high - low if bounded and inside else None


def _mechanism_of(path: str) -> str:
    """Return the mechanism's name, without the site that it was moved from: ``se`` of ``se_at_layer3``."""
    return path.rpartition("foveate.")[2].partition("_at_")[0]


def _within(value: float | None, metric: Metric) -> float | None:
    """Return a score in the metric's unit, inside its range."""
    if value is None:
        return None
    low, high = metric.bounds or (-np.inf, np.inf)
    return metric.scale * min(max(value, low), high)


def _epoch(entry: Mapping[str, Any], metric: Metric) -> dict[str, Any]:
    val = entry["val_score"]
    return {
        "epoch": entry["epoch"],
        "train_loss": entry["train_loss"],
        "val_score": None if val is None else metric.scale * val,
        "openings": dict(entry["openings"]),
        **({"losses": dict(entry["losses"])} if "losses" in entry else {}),
    }
