"""The words of a batch of sentences as rows, step after step, without those behind a sentence's end.

Half of a batch of sentences of any length is padding. A decoder that works on rows, of which a step has one
for each sentence that is still going on, spends nothing on it.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from foveate.mechanisms.kernels.eager_cpu import traced


class Rows:
    """Which words of a batch there are.

    Args:
        batch: B, how many sentences.
        steps: T.
        there: (B, T), True for words that there are, the first of each sentence; None for all.

    Attributes:
        order: (B,), the sentences from the longest to the shortest; None where they stay as they are.
        counts: How many of them each step has a word of, up to the last step that has any.
    """

    def __init__(self, batch: int, steps: int, there: Bool[Tensor, "b t"] | None = None) -> None:
        self.batch, self.steps, self.order = batch, steps, None
        self.counts = [batch] * steps
        if there is not None and batch and not there.all():
            self.order = there.sum(dim=1).argsort(descending=True, stable=True)
            self.counts = [count for count in there.sum(dim=0).tolist() if count]

    @cached_property
    def places(self) -> Int64[Tensor, " r"]:
        """Where each row is among the B * T words of the batch."""
        assert self.order is not None
        return torch.cat([self.order[:count] * self.steps + t for t, count in enumerate(self.counts)])

    def ordered(self, x: Tensor) -> Tensor:
        """Return a tensor of the batch with its sentences in order."""
        return x if self.order is None else x[self.order]

    def packed(self, x: Shaped[Tensor, "b t ..."]) -> Shaped[Tensor, "r ..."]:
        """Return the rows of what a batch has for each word."""
        if self.order is None:
            return x.transpose(0, 1).flatten(0, 1)
        return x.flatten(0, 1).index_select(0, self.places)

    def spread(self, rows: Float[Tensor, "r ..."]) -> Float[Tensor, "b t ..."]:
        """Return the rows as (B, T, ...), with zeros for words that there are not."""
        if self.order is None:
            return rows.unflatten(0, (self.steps, self.batch)).transpose(0, 1)
        whole: Tensor = spread_rows(rows, self.places, self.batch * self.steps)
        return whole.unflatten(0, (self.batch, self.steps))


def spread_rows(
    rows: Float[Tensor, "r ..."], places: Int64[Tensor, " r"], count: int
) -> Float[Tensor, "n ..."]:
    """Return ``count`` rows, those at ``places`` being given and the others zero."""
    if _plain(rows):
        return rows.new_zeros(count, *rows.shape[1:]).index_copy(0, places, rows)
    return _Spread.apply(rows, places, count)


def taken_rows(x: Float[Tensor, "n ..."], places: Int64[Tensor, " r"]) -> Float[Tensor, "r ..."]:
    """Return the rows at ``places``, each of which occurs once."""
    return x.index_select(0, places) if _plain(x) else _Taken.apply(x, places)


def _plain(x: Tensor) -> bool:
    return traced(x) or x.dtype not in (torch.float32, torch.float64)


def _untouched_zeros(count: int, like: Tensor) -> Tensor:
    """Return zeros whose memory the system provides as it is written to: most rows never are."""
    kind = np.float64 if like.dtype == torch.float64 else np.float32
    return torch.from_numpy(np.zeros((count, *like.shape[1:]), kind))


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, places: Tensor, count: int) -> Tensor:
        ctx.save_for_backward(places)
        return _untouched_zeros(count, rows).index_copy_(0, places, rows)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return taken_rows(grad, places), None, None


class _Taken(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.count = len(x)
        return x.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        return spread_rows(grad, places, ctx.count), None
