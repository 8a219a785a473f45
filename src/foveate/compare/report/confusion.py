"""Which class was taken for which: the matrix as a table whose shades repeat its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from foveate.compare.report.svg import tag
from foveate.compare.report.words import plain

_TINT = 0.4  # share of the colour in a full cell: letters stay readable on it
_RARE = 4  # factor on the shades of errors, which are rarer than correct answers
SHOWN_CLASSES = 60  # rows of the table by class; more are in study.json


def matrix(variant: Mapping[str, Any], classes: Sequence[str]) -> Markup:
    """Draw the matrix of a variant: true classes in rows, predicted ones in columns, in percent of rows."""
    numbers = [tag("th", _number(k, name), scope="col") for k, name in enumerate(classes)]
    corner = tag("th", tag("span", "true ↓ predicted →"), scope="col", class_="corner")
    rows = [_row(k, name, variant["confusion"]["matrix"][k], classes) for k, name in enumerate(classes)]
    title = tag("caption", f"{variant['name']}: percent of the items of each true class, over all seeds")
    return tag(
        "table",
        title,
        tag("thead", tag("tr", corner, *numbers)),
        tag("tbody", *rows),
        class_="confusion",
    )


def by_class(variant: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the classes, the lowest F1 first."""
    rows = variant["confusion"]["by_class"]
    return sorted(rows, key=lambda row: (row["f1"] is None, row["f1"] or 0.0, row["class"]))


def _row(k: int, name: str, counts: Sequence[int], classes: Sequence[str]) -> Markup:
    total = sum(counts)
    heading = tag("th", _number(k, None), tag("bdi", name, class_="row-name"), scope="row")
    return tag("tr", heading, *(_cell(name, classes[j], n, total, k == j) for j, n in enumerate(counts)))


def _cell(true: str, given: str, count: int, total: int, right: bool) -> Markup:
    share = 100 * count / total if total else 0.0
    text = "·" if not count else "<1" if share < 1 else plain(share, 0)
    shade = share if right else min(100.0, _RARE * share)
    return tag(
        "td",
        text,
        class_="hit" if right else "miss",
        style=f"--share:{_TINT * shade:.1f}%",
        title=f"{count:,} of {total:,} {true} were predicted as {given}",
    )


def _number(k: int, name: str | None) -> Markup:
    """Return the number of a class, which heads its row and its column; screen readers read its name."""
    shown = tag("span", str(k + 1), class_="class-number", aria_hidden="true")
    return shown if name is None else tag("span", shown, tag("span", name, class_="hear"), title=name)
