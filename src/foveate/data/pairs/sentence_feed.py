"""A feed of sentences and their translations as word numbers, in batches of similar length.

Shapes  source int64 (B, S), target int64 (B, T): each row ends with the end's number and is padded with 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from foveate.data.pairs.pair_data import PairSplit
from foveate.data.words.buckets import bucketed
from foveate.data.words.numbered import Numbered
from foveate.data.words.vocabulary import Vocabulary
from foveate.options import whole


@dataclass(frozen=True)
class SentenceBatch:
    """Some pairs at once.

    Args:
        source: int64 (B, S), the sentences, each with its end, padded.
        target: int64 (B, T), their translations, likewise.
        references: The translations as they are in the file, B of them.
        indices: int64 (B,), the pairs' numbers in their split.
    """

    source: Int64[Tensor, "b s"]
    target: Int64[Tensor, "b t"]
    references: tuple[str, ...]
    indices: Int64[Tensor, " b"]

    def __len__(self) -> int:
        return len(self.source)

    def to(self, device: torch.device) -> SentenceBatch:
        """Return the batch on ``device``, itself if it is there."""
        if self.source.device == device:
            return self
        moved = {name: getattr(self, name).to(device) for name in ("source", "target", "indices")}
        return replace(self, **moved)


@dataclass(frozen=True, eq=False)
class SentenceFeed:
    """One split of pairs; see ``foveate.data.feed``.

    Args:
        split: The pairs.
        source: Numbers the words of the sentences.
        target: Those of the translations.
    """

    split: PairSplit
    source: Vocabulary
    target: Vocabulary

    def __len__(self) -> int:
        return len(self.split)

    @property
    def names(self) -> Sequence[str]:
        """One name a pair: the split and the line of the file."""
        return self.split.names

    def train(self, *, batch_size: int, seed: int, epoch: int, start: int = 0) -> Iterator[SentenceBatch]:
        """Yield the batches of one epoch, each of sentences of similar length, in random order.

        Raises:
            OptionError: ``batch_size`` or ``start`` is impossible.
        """
        sources, targets = self._numbered
        chosen = bucketed(
            targets.lengths, sources.lengths, batch_size=batch_size, seed=seed, epoch=epoch, start=start
        )
        return (self._batch(items) for items in chosen)

    def test(self, batch_size: int) -> Iterator[SentenceBatch]:
        """Yield every pair once, in order, whole; the last batch may be smaller.

        Raises:
            OptionError: ``batch_size`` is impossible.
        """
        whole("batch_size", batch_size)
        firsts = range(0, len(self), batch_size)
        return (self._batch(np.arange(i, min(i + batch_size, len(self)))) for i in firsts)

    @cached_property
    def _numbered(self) -> tuple[Numbered, Numbered]:
        return Numbered.of(self.split.source, self.source), Numbered.of(self.split.target, self.target)

    def _batch(self, items: Int64[np.ndarray, " b"]) -> SentenceBatch:
        sources, targets = self._numbered
        return SentenceBatch(
            source=sources.padded(items),
            target=targets.padded(items),
            references=tuple(self.split.target[item] for item in items.tolist()),
            indices=torch.from_numpy(items.astype(np.int64)),
        )
