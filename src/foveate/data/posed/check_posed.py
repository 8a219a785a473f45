"""What is odd about pictures for generation: files, repetitions, classes with few pictures, gaps in poses."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from foveate.data.checks.check import check_pictures, opening_warnings
from foveate.data.checks.finding import Finding
from foveate.data.posed.posed_data import PosedImages

FEW = 50  # pictures of a class, below which a generator repeats them
_PARTS = 8  # of the range of a pose, each of which should be there for every class


def check_posed(data: PosedImages) -> list[Finding]:
    """Return faults and peculiarities of the data, worst first."""
    found = [*opening_notes(data), *check_pictures(data.images), *_few(data), *_gaps(data)]
    order = ("error", "warning", "note")
    return sorted(found, key=lambda finding: order.index(finding.severity))


def opening_notes(data: PosedImages) -> list[Finding]:
    """Return the warnings that need no picture opened: what was left out, and why."""
    return opening_warnings(data.images)


def _few(data: PosedImages) -> Iterator[Finding]:
    targets = data.images.splits["train"].targets
    names = data.classes or ("all pictures",)
    counts = np.bincount(targets, minlength=len(names))
    few = [f"{name}: {count}" for name, count in zip(names, counts.tolist(), strict=True) if count < FEW]
    if few:
        yield Finding(
            "few_pictures",
            "warning",
            f"fewer than {FEW} training pictures in {len(few)} of {len(names)} classes: a generator learns "
            "them by heart. Add some, or leave the class out.",
            tuple(few),
        )


def _gaps(data: PosedImages) -> Iterator[Finding]:
    targets, poses = data.images.splits["train"].targets, data.poses["train"]
    for column, values in zip(data.columns, poses.T, strict=True):
        edges = np.linspace(column.low, column.high, _PARTS + 1)
        place = np.clip(np.digitize(values, edges) - 1, 0, _PARTS - 1)
        names = data.classes or ("all pictures",)
        gaps = [
            f"{name}: {edges[part]:.4g} to {edges[part + 1]:.4g}"
            for number, name in enumerate(names)
            for part in range(_PARTS)
            if not (place[targets == number] == part).any()
        ]
        if gaps:
            yield Finding(
                "pose_gap",
                "warning",
                f"no training picture shows {column.name} in a part of its range ({len(gaps)} such): what is "
                "drawn there is a guess.",
                tuple(gaps),
            )
