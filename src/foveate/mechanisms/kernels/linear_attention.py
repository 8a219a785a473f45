"""Attention between tokens without a softmax, in memory that grows with N and not with N*M.

The N*M weights are formed only while a ``MapTap`` is recording. Queries are (B, N, d), keys (B, M, d), values
(B, M, e).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import full_precision, widen


def read_by_product(query: Tensor, key: Tensor, value: Tensor, tap: MapTap, *, scale: float) -> Tensor:
    """Return ``scale / M * (query key^T) value``, keys and values multiplied first."""
    with full_precision(query):
        query, key = widen(query), widen(key).transpose(1, 2) * (scale / key.shape[1])
        if tap.recording:
            context = tap(query @ key) @ widen(value)
        else:
            context = query @ (key @ widen(value))
    return context.to(value.dtype)


def read_by_sum(
    query: Tensor, key: Tensor, value: Tensor, compare: Iterable[Tensor], tap: MapTap, *, scale: float
) -> Tensor:
    """Return ``scale / M * relu(w . [query; key]) value``: a number of the query plus a number of the key.

    Args:
        query: (B, N, d).
        key: (B, M, d).
        value: (B, M, e).
        compare: The two halves of w, (d,) each.
        tap: Gets the weights (B, N, M) while it is recording.
        scale: A factor of all weights.
    """
    with full_precision(query):
        asks, answers = (widen(part) @ widen(w) for part, w in zip((query, key), compare, strict=True))
        share = scale / key.shape[1]
        if tap.recording:
            sums = tap((asks.unsqueeze(2) + answers.unsqueeze(1)).relu() * share) @ widen(value)
        else:
            sums = _rectified(asks, answers, widen(value)) * share
    return sums.to(value.dtype)


def _rectified(
    asks: Float[Tensor, "b n"], answers: Float[Tensor, "b m"], value: Float[Tensor, "b m r"]
) -> Float[Tensor, "b n r"]:
    """Return ``sum_j relu(asks_i + answers_j) value_j`` from sums over the sorted answers.

    What a query adds up are the keys whose answer exceeds minus its own number: the first few of the sorted
    ones, so that one running sum serves all queries.
    """
    order = answers.argsort(dim=1, descending=True)
    sorted_answers = answers.gather(1, order)
    value = value.gather(1, order.unsqueeze(2).expand_as(value))
    terms = torch.cat([value, sorted_answers.unsqueeze(2) * value], dim=2)
    running = nn.functional.pad(terms.cumsum(dim=1), (0, 0, 1, 0))  # (B, 1 + M, 2*R)
    counts = torch.searchsorted(-sorted_answers.detach(), asks.detach().contiguous())
    values, products = running.gather(1, counts.unsqueeze(2).expand(-1, -1, running.shape[2])).chunk(2, dim=2)
    return asks.unsqueeze(2) * values + products
