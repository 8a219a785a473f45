"""What the training loop sees of data: a feed of batches, whatever is in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, Self

import numpy as np
import torch
from jaxtyping import Int64

from foveate.errors import OptionError

_ORDER = 0  # the stream of random numbers that decides the order; others belong to whoever draws from them


class Batch(Protocol):
    """Some items at once. What else is in it is between a feed and a task."""

    def __len__(self) -> int: ...

    def to(self, device: torch.device) -> Self:
        """Return the batch on a device; itself if it is there."""
        ...


class Feed(Protocol):
    """One split of the data, ready for a model.

    An epoch has ``steps_per_epoch(len(feed), batch_size)`` training batches.
    """

    @property
    def names(self) -> Sequence[str]:
        """One name an item, in the order in which the feed is judged."""
        ...

    def __len__(self) -> int: ...

    def train(self, *, batch_size: int, seed: int, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of one epoch, from batch number ``start`` on.

        They follow from seed, epoch and the item alone, so that a stopped run resumes with the same bits and
        all variants of a study see the same. ``epoch_order`` and ``random_stream`` draw such numbers.
        """
        ...

    def test(self, batch_size: int) -> Iterator[Batch]:
        """Yield every item once, in order, unchanged; the last batch may be smaller."""
        ...


class Data(Protocol):
    """Data as it was opened: named splits of items, and what it takes to open it again."""

    @property
    def name(self) -> str:
        """What a report calls it."""
        ...

    @property
    def fingerprint(self) -> str:
        """A hash of the contents: equal data, equal fingerprint."""
        ...

    @property
    def origin(self) -> Mapping[str, object]:
        """How to open it again, JSON-able: ``source`` and ``options``, as the task's ``open`` takes them.

        ``source`` is None if only Python can give it again.
        """
        ...

    @property
    def items(self) -> Mapping[str, int]:
        """How many items each split has; ``train`` and ``test`` are there, ``val`` may be."""
        ...

    @property
    def task(self) -> str:
        """The task that such data is usually for."""
        ...


def steps_per_epoch(items: int, batch_size: int) -> int:
    """Return how many training batches an epoch has; a last, smaller one counts only if it is the only one.

    Example:
        >>> steps_per_epoch(100, 32), steps_per_epoch(10, 32)
        (3, 1)
    """
    return max(items // batch_size, min(items, 1))


def epoch_order(items: int, seed: int, epoch: int) -> Int64[np.ndarray, " n"]:
    """Return the order of the items in an epoch."""
    return random_stream(seed, epoch, _ORDER).permutation(items)


def random_stream(seed: int, epoch: int, stream: int) -> np.random.Generator:
    """Return a generator that belongs to one epoch of one seed; stream 0 is the order's, 1 is free."""
    key = np.array([seed, 2 * epoch + stream], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def expect_validation(data: Data, keep_best: bool) -> None:
    """Raise if the best epoch is to be kept and there are no items to tell which one it is.

    Raises:
        OptionError: There is no split val.
    """
    if keep_best and "val" not in data.items:
        raise OptionError(
            f"keep_best: {data.name} has no validation split (splits: {', '.join(data.items)}), which "
            "would tell which epoch is best. Leave it out, or give a split val."
        )


def plain(value: Any) -> Any:
    """Return what JSON makes of a value: lists for tuples."""
    return json.loads(json.dumps(value, default=str))
