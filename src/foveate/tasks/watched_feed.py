"""A feed whose test batches carry the net that drawn pictures are judged by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from foveate.data.posed.posed_feed import PosedBatch, PosedFeed
from foveate.tasks.picture_net import Judge


@dataclass(frozen=True, eq=False)
class WatchedBatch:
    """A batch with the judge of its data.

    Args:
        items: The batch.
        judge: Of what is drawn for its conditions.
    """

    items: PosedBatch
    judge: Judge

    def __len__(self) -> int:
        return len(self.items)

    def to(self, device: torch.device) -> WatchedBatch:
        """Return the batch on ``device``; the judge stays where it is."""
        return replace(self, items=self.items.to(device))


@dataclass(frozen=True, eq=False)
class WatchedFeed:
    """A feed with a judge.

    Args:
        feed: Whose batches are used; test batches are wrapped.
        judge: Trained on the training pictures of the same data.
    """

    feed: PosedFeed
    judge: Judge

    def __len__(self) -> int:
        return len(self.feed)

    @property
    def names(self) -> Sequence[str]:
        """One name a picture."""
        return self.feed.names

    def train(self, *, batch_size: int, seed: int, epoch: int, start: int = 0) -> Iterator[PosedBatch]:
        """Yield the batches of one epoch as the feed has them."""
        return self.feed.train(batch_size=batch_size, seed=seed, epoch=epoch, start=start)

    def test(self, batch_size: int) -> Iterator[WatchedBatch]:
        """Yield every picture once, in order, with the judge."""
        return (WatchedBatch(batch, self.judge) for batch in self.feed.test(batch_size))
