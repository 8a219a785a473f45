"""A feed whose test batches know how answers to them are counted.

Some metrics of text, such as CIDEr, weigh an answer by all references of its split, which a batch alone does
not have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch

from foveate.data.feed import Batch, Feed
from foveate.tasks.metrics.text.text_metric import TextCounter


@dataclass(frozen=True)
class CountedBatch:
    """Some test items.

    Args:
        items: The batch of the feed.
        counters: What counts their answers, one for each metric.
    """

    items: Any
    counters: tuple[TextCounter, ...]

    def __len__(self) -> int:
        return len(self.items)

    def to(self, device: torch.device) -> Self:
        """Return the batch on ``device``."""
        return replace(self, items=self.items.to(device))


@dataclass(frozen=True, eq=False)
class CountedFeed:
    """A feed with counters.

    Args:
        feed: Whose batches are used; test batches are wrapped.
        counters: Made for all references of the feed, in its order.
    """

    feed: Feed
    counters: tuple[TextCounter, ...]

    def __len__(self) -> int:
        return len(self.feed)

    @property
    def names(self) -> Sequence[str]:
        """One name an item."""
        return self.feed.names

    def train(self, *, batch_size: int, seed: int, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of one epoch as the feed has them."""
        return self.feed.train(batch_size=batch_size, seed=seed, epoch=epoch, start=start)

    def test(self, batch_size: int) -> Iterator[CountedBatch]:
        """Yield every item once, in order, with the counters."""
        return (CountedBatch(batch, self.counters) for batch in self.feed.test(batch_size))
