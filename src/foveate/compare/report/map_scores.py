"""The judged maps of a study, arranged for the page: by variant, with a sentence for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

# How maps are called on the page; a method of ``fv.explain`` keeps its own name.
_CALLED = {"smooth_random": "smooth random map", "centre": "centre of the picture", "grad_cam": "Grad-CAM"}

_ANSWERS = ("yes", "no", "not decided")

Row = Mapping[str, Any]


def called(name: str) -> str:
    """Return what a map is called.

    Example:
        >>> called("centre"), called("rise")
        ('centre of the picture', 'rise')
    """
    return _CALLED.get(name, name)


def groups(judged: Mapping[str, Any]) -> list[tuple[str, list[Row], list[Row]]]:
    """Return each variant with the rows of its maps, and with its comparisons."""
    compared = judged["comparisons"]
    return [
        (name, list(rows), [row for row in compared if row["variant"] == name])
        for name, rows in groupby(judged["maps"], key=lambda row: str(row["variant"]))
    ]


def summary(comparisons: Sequence[Row]) -> str:
    """Return by how many of the scores a variant's maps are better than each map that knows no model.

    Example:
        >>> row = {"than": "centre", "answer": "yes", "metric": "deletion"}
        >>> summary([row, {**row, "metric": "energy"}, {**row, "than": "smooth_random"}])
        'better than the centre of the picture by all 2 scores; better than a smooth random map by the score'
        >>> summary([row, {**row, "answer": "no", "metric": "energy"}])
        'better than the centre of the picture by 1 of 2 scores, worse by energy'
    """
    by_outcome: dict[str, list[str]] = {}
    for than in dict.fromkeys(str(row["than"]) for row in comparisons):
        outcome = _outcome([row for row in comparisons if row["than"] == than])
        by_outcome.setdefault(outcome, []).append(f"{'the' if than == 'centre' else 'a'} {called(than)}")
    return "; ".join(f"better than {' and '.join(names)} {how}" for how, names in by_outcome.items())


def _outcome(rows: Sequence[Row]) -> str:
    of = {answer: [str(row["metric"]) for row in rows if row["answer"] == answer] for answer in _ANSWERS}
    if len(of["yes"]) == len(rows):
        return "by the score" if len(rows) == 1 else f"by all {len(rows)} scores"
    worse = f", worse by {', '.join(of['no'])}" if of["no"] else ""
    left = f", not decided by {', '.join(of['not decided'])}" if of["not decided"] else ""
    return f"by {len(of['yes']) or 'none'} of {len(rows)} scores{worse}{left}"


def sign(comparisons: Sequence[Row], metric: str) -> str:
    """Return how a variant's map does by one metric against all it is compared with: yes, no or open."""
    answers = {row["answer"] for row in comparisons if row["metric"] == metric}
    return "yes" if answers == {"yes"} else "no" if "no" in answers else "open"
