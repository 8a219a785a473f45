"""Scores of a memory's entries: products in float32, and the softmax over what may be read."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from foveate.mechanisms.precision import full_precision, widen


def hidden(mask: Bool[Tensor, "b n"] | None) -> Bool[Tensor, "b 1 n"] | None:
    """Return where nothing may be read, for all queries."""
    return None if mask is None else ~mask.unsqueeze(1)


def readable(memory: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None) -> Float[Tensor, "b n d"]:
    """Return the memory with zeros where it may not be read: padding may hold anything, also NaN."""
    return memory if mask is None else memory.masked_fill(~mask.unsqueeze(2), 0.0)


def masked_softmax(scores: Float[Tensor, "b t n"], hidden: Tensor | None) -> Float[Tensor, "b t n"]:
    """Return the softmax over what is not ``hidden``; exactly 0 there, and rows of zeros if all is.

    The least finite number replaces minus infinity, whose softmax over a row of it alone is NaN.
    """
    if hidden is None:
        return scores.softmax(dim=-1)
    lowest = torch.finfo(scores.dtype).min
    return scores.masked_fill(hidden, lowest).softmax(dim=-1).masked_fill(hidden, 0.0)


def products(query: Float[Tensor, "b t d"], memory: Float[Tensor, "b n d"]) -> Float[Tensor, "b t n"]:
    """Return the dot product of every query and entry; in float32 for half types, also under autocast."""
    with full_precision(query):
        return widen(query) @ widen(memory).transpose(1, 2)
