"""A study small enough to be made within seconds, and the words that make it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from foveate.compare import measured
from foveate.compare.plan import StudyPlan
from foveate.compare.planned import PlannedVariant
from foveate.compare.report import write
from foveate.compare.study import compare
from foveate.recipe import TrainConfig
from foveate.train.progress import Lines

INPUTS = {"classes": ["a", "b"], "size": [24, 24], "normalisation": [[0.5] * 3, [0.5] * 3]}
DATA = "scenes(train=96, val=0, test=40, classes=4, size=24)"


def words(**others: Any) -> dict[str, Any]:
    """Return the words of the small study."""
    usual = {"data": DATA, "model": "resnet8", "variants": ["se@stage3"], "seeds": 3, "epochs": 1}
    return {**usual, "train": TrainConfig(batch_size=32), **others}


def plan(**others: Any) -> StudyPlan:
    """Return a plan that was never priced: for the store and the words, not for training."""
    question = {"mode": "scratch", "model": "resnet8", "pretrained": False, "weights": None, "data": "scenes"}
    images = {
        "fingerprint": "f",
        "origin": {"source": "scenes"},
        "inputs": INPUTS,
        "items": {"train": 100, "val": 10, "test": 20},
    }
    rules = {
        "task": "classification",
        "metric": None,
        "seeds": (0, 1),
        "train": TrainConfig(epochs=4, batch_size=32),
        "branch_epochs": 0,
        "start": "identity",
        "control": "none",
        "margin": 0.5,
        "level": 0.95,
        "unit": "points",
        "command": "foveate compare",
        "variants": (
            PlannedVariant("baseline", "baseline", None, None, None, 1000, 2_000_000, 4000, 0.5, 0.01),
            PlannedVariant("se@stage3", "variant", "se@stage3", None, None, 1100, 2_000_100, 4400, 0.6, 0.01),
        ),
    }
    known: dict[str, Any] = {**question, **images, **rules, **others}
    return StudyPlan(**known)


@contextmanager
def brief_studies() -> Iterator[None]:
    """Let studies draw no figure, measure no memory and hardly any latency: what takes most of the time."""
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(write, "draw", lambda _: {"png": b"-", "svg": b"-"}))
        stack.enter_context(mock.patch.object(measured, "memory", lambda *_: {"inference": 1, "training": 1}))
        stack.enter_context(mock.patch.object(measured, "ROUNDS", 2))
        yield


def make_in_a_child(out: Path, cache: Path) -> None:
    """Make the small study, as a child process does it; ``lines.txt`` beside its folder says which runs."""
    os.environ["FOVEATE_CACHE"] = str(cache)
    torch.set_num_threads(1)
    with brief_studies(), out.with_name(f"{out.name}.lines.txt").open("w") as lines:
        compare(**words(out=out, progress=Lines(lines)))


def done(out: Path) -> int:
    """Return how many runs of a study are done, while other processes work on it."""
    try:
        with sqlite3.connect(f"file:{out / 'study.sqlite'}?mode=ro", uri=True) as db:
            return int(db.execute("SELECT COUNT(*) FROM runs WHERE state = 'done'").fetchone()[0])
    except sqlite3.Error:
        return 0
