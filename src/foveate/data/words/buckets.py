"""Batches of texts of similar length, so that little is computed on padding.

The order of an epoch is drawn first, for all items alike; it is then divided into pools of ``POOL`` batches,
each pool is sorted by length and cut into batches, and the batches of all pools are shuffled. All follows
from seed and epoch.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from foveate.data.feed import epoch_order, random_stream, steps_per_epoch
from foveate.errors import OptionError

POOL = 50  # batches that are sorted together
_SHUFFLE = 1  # a stream of random numbers, beside that of the order


def bucketed(
    *lengths: Int64[np.ndarray, " n"], batch_size: int, seed: int, epoch: int, start: int = 0
) -> list[Int64[np.ndarray, " b"]]:
    """Return the item numbers of each batch of an epoch, from batch number ``start`` on.

    Args:
        lengths: Of each item; with several, items are sorted by the first and then by the others.
        batch_size: Items a batch. What remains of the epoch is left out, unless it is the only batch.
        seed: With ``epoch``, decides all.
        epoch: Counted from 0.
        start: How many batches to leave out, to resume within an epoch.

    Raises:
        OptionError: ``batch_size`` or ``start`` is impossible.
    """
    if batch_size < 1:
        raise OptionError(
            f"batches: batch_size={batch_size} holds nothing. Write batch_size=64, for example."
        )
    items = len(lengths[0])
    count = steps_per_epoch(items, batch_size)
    if not 0 <= start <= count:
        raise OptionError(
            f"batches: start={start}, but an epoch has {count} batches. Start within 0..{count}."
        )
    order = epoch_order(items, seed, epoch)[: count * batch_size]
    batches: list[Int64[np.ndarray, " b"]] = []
    for first in range(0, len(order), POOL * batch_size):
        pool = order[first : first + POOL * batch_size]
        pool = pool[np.lexsort([column[pool] for column in reversed(lengths)])]
        batches += [pool[place : place + batch_size] for place in range(0, len(pool), batch_size)]
    shuffled = random_stream(seed, epoch, _SHUFFLE).permutation(len(batches))
    return [batches[place] for place in shuffled[start:].tolist()]
