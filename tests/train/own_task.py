"""A task on rows of numbers as a user could write it: no images, no classes, and a feed of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from foveate.data.feed import Data, Feed, epoch_order, steps_per_epoch
from foveate.tasks.base import Task
from foveate.tasks.judged import Judged
from foveate.tasks.metric import Metric
from foveate.tasks.part import Part


@dataclass(frozen=True)
class Sequences:
    """Rows of numbers (B, 4) and the sum of each (B,)."""

    rows: Tensor
    sums: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device) -> Sequences:
        return Sequences(self.rows.to(device), self.sums.to(device))


class SequenceFeed:
    """Rows that are drawn once."""

    def __init__(self, items: int, seed: int) -> None:
        self.rows = torch.rand(items, 4, generator=torch.Generator().manual_seed(seed))
        self.names: Sequence[str] = tuple(map(str, range(items)))

    def __len__(self) -> int:
        return len(self.rows)

    def train(self, *, batch_size: int, seed: int, epoch: int, start: int = 0) -> Iterator[Sequences]:
        order = torch.from_numpy(epoch_order(len(self), seed, epoch))
        for step in range(start, steps_per_epoch(len(self), batch_size)):
            yield self._batch(order[step * batch_size : (step + 1) * batch_size])

    def test(self, batch_size: int) -> Iterator[Sequences]:
        for chosen in torch.arange(len(self)).split(batch_size):
            yield self._batch(chosen)

    def _batch(self, chosen: Tensor) -> Sequences:
        return Sequences(self.rows[chosen], self.rows[chosen].sum(dim=1))


def sequence_feeds() -> dict[str, Feed]:
    return {"train": SequenceFeed(24, seed=0), "val": SequenceFeed(10, seed=1)}


def summing(seed: int = 0) -> nn.Module:
    """A layer, then one that is trained as a part of its own in ``Turns``."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1))


class Summing(Task):
    """Learn the sum of a row.

    Args:
        answer: Rows (B, 4) -> what is kept of them to look at.
        draws: Random numbers that judging takes for each batch; they become part of the records.
    """

    name = "summing"
    items = "rows"
    metric = Metric("error", unit="", scale=1.0, higher_is_better=False, bounds=None)

    def __init__(self, answer: Callable[[Tensor], Any] = Tensor.numpy, draws: int = 0) -> None:
        super().__init__({})
        self.answer, self.draws = answer, draws

    @classmethod
    def inputs_of(cls, data: Data) -> dict[str, Any]:
        return {}

    def feeds(self, data: Data) -> dict[str, Feed]:
        return sequence_feeds()

    def example(self, items: int = 2) -> Tensor:
        return torch.ones(items, 4)

    def loss(self, model: nn.Module, batch: Sequences, part: str = "") -> Tensor:
        return (model(batch.rows)[:, 0] - batch.sums).square().mean()

    def judge(self, model: nn.Module, batch: Sequences) -> Judged:
        noise = torch.rand(len(batch), self.draws)
        error = (model(batch.rows)[:, 0] - batch.sums).abs()
        return Judged(torch.cat([error[:, None], noise], dim=1), self.answer(batch.rows))

    def value(self, records: np.ndarray) -> float:
        return float(records[:, 0].mean())


class Turns(Summing):
    """The same in two parts with an optimizer each; the second is trained at every other step."""

    def parts(self, model: nn.Module) -> Mapping[str, Part]:
        return {"first": Part(model[0]), "second": Part(model[1], every=2, lr=0.5, betas=(0.5, 0.9))}

    def loss(self, model: nn.Module, batch: Sequences, part: str = "") -> Tensor:
        return super().loss(model, batch) * (1.0 if part == "first" else 3.0)
