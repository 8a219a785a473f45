"""What a run of a study is trained and judged on: the data's splits, or each of its folds in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from jaxtyping import Int64

from foveate.compare.plan import StudyPlan
from foveate.data.feed import Data, Feed
from foveate.tasks.base import Task

Feeds = Mapping[str, Feed]


@dataclass(frozen=True)
class Training:
    """One of the trainings that every run consists of.

    Args:
        fold: The number of the fold that it is tested on, from 1 on; None if it is the only training.
        items: Numbers of its test items among all that a run is judged on.
        feeds: Returns what it is trained and tested on, and lets the task take from that what its loss needs.
    """

    fold: int | None
    items: Int64[np.ndarray, " n"]
    feeds: Callable[[], Feeds]


def trainings(plan: StudyPlan, data: Data, task: Task) -> tuple[Feeds, tuple[Training, ...]]:
    """Return the splits that a study is judged on, and the trainings of a run.

    With folds, all items are in ``train`` and, in the same order, in ``test``.

    Raises:
        DataError: An item cannot be read, or the metric says nothing about the test items.
    """
    if plan.folds is None:
        feeds = task.feeds(data)
        each = [Training(None, np.arange(len(feeds["test"])), lambda: feeds)]
    else:
        folds = type(task).folds(data, len(plan.folds.sizes))
        feeds = task.feeds(folds.whole)
        each = [
            Training(number, items, partial(task.feeds, part))
            for number, (part, items) in enumerate(zip(folds.parts, folds.items, strict=True), 1)
        ]
    task.expect_judgeable(feeds["test"])
    return feeds, tuple(each)


def counted(plan: StudyPlan, feeds: Feeds, each: Sequence[Training]) -> StudyPlan:
    """Return the plan with the items that its runs train on: a picture with five captions may be five."""
    if plan.folds is None:
        return replace(plan, items={name: len(feed) for name, feed in feeds.items()})
    trained = tuple(len(training.feeds()["train"]) for training in each)
    return replace(plan, folds=replace(plan.folds, trained=trained))
