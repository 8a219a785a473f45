"""What all soft reads share: the mask, the softmax, the weighted mean, the gate on it, and their costs.

A soft read only says how well each entry of a memory answers a query (``score``); it is
``context = sum_j a_j m_j`` with ``a = softmax_j(score)`` over the entries that may be read.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from foveate.mechanisms.base import Cost, MapTap
from foveate.mechanisms.interfaces import Read
from foveate.mechanisms.precision import full_precision, widen
from foveate.options import one_of, whole


class SoftRead(Read):
    """Read a memory by a softmax over scores.

    Args:
        channels: D of the memory's entries.
        query: Q of the queries; None takes ``channels``.
        context_gate: "none"; "scalar" multiplies each context by sigmoid(w . query + b), one number; "vector"
            by one such number for each channel.
        match: Whether a linear layer without bias brings queries of another width to ``channels`` first,
            for scores that compare query and memory entry by entry.

    Raises:
        OptionError: ``context_gate`` is unknown, or a width is not a positive whole number.
    """

    def __init__(self, channels: int, query: int | None, context_gate: str, *, match: bool = False) -> None:
        super().__init__()
        self.channels = whole("channels", channels)
        self.query_channels = channels if query is None else whole("query", query)
        gates = {"none": 0, "scalar": 1, "vector": channels}
        one_of("context_gate", context_gate, gates)
        self.context_gate, self.gates = context_gate, gates[context_gate]
        self.matched = match and self.query_channels != channels
        if self.matched:
            self.match = nn.Linear(self.query_channels, channels, bias=False)
        if self.gates:
            self.beta = nn.Linear(self.query_channels, self.gates)
            self.beta_map = MapTap("b t 1" if context_gate == "scalar" else "b t c")
        self.map = MapTap("b t m", sums="m")

    @abstractmethod
    def score(self, query: Float[Tensor, "b t q"], memory: Float[Tensor, "b n d"]) -> Float[Tensor, "b t n"]:
        """Return how well each entry answers each query, before the softmax; any real number."""

    @abstractmethod
    def score_cost(self, entries: int) -> tuple[int, int]:
        """Return the parameters of the score, and its multiply-adds for one query of that many entries."""

    def forward(
        self,
        query: Float[Tensor, "b t q"],
        memory: Float[Tensor, "b n d"],
        mask: Bool[Tensor, "b n"] | None = None,
    ) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b t n"]]:
        """Return what each query read, and the weights, which sum to 1 unless nothing may be read."""
        self._check_reading(query, memory, mask)
        memory = readable(memory, mask)
        weights = self.map(self.weigh(query, memory, mask)).to(memory.dtype)
        return self.gated(weights @ memory, query), weights

    def weigh(
        self,
        query: Float[Tensor, "b t q"],
        memory: Float[Tensor, "b n d"],
        mask: Bool[Tensor, "b n"] | None,
    ) -> Float[Tensor, "b t n"]:
        """Return the weights; in float32 for half types."""
        return masked_softmax(widen(self.score(query, memory)), hidden(mask))

    def matching(self, query: Float[Tensor, "b t q"]) -> Float[Tensor, "b t d"]:
        """Return the queries in the memory's width; in float32 for a half-precision model."""
        return linear(self.match, query) if self.matched else widen(query)

    def gated(self, context: Float[Tensor, "b t d"], query: Float[Tensor, "b t q"]) -> Float[Tensor, "b t d"]:
        """Return the context times its gate beta, which only the query decides."""
        if not self.gates:
            return context
        return context * self.beta_map(self.beta(query).sigmoid()).to(context.dtype)

    def cost(self, height: int, width: int) -> Cost:
        """Return the cost of one query that reads height * width entries."""
        entries = height * width
        parameters, macs = self.score_cost(entries)
        before = self.query_channels * self.channels * self.matched
        parameters += before + (self.query_channels + 1) * self.gates
        macs += before + self.query_channels * self.gates + entries * self.channels
        return Cost(parameters=parameters, macs=macs, bytes=4 * parameters)


def hidden(mask: Bool[Tensor, "b n"] | None) -> Bool[Tensor, "b 1 n"] | None:
    """Return where nothing may be read, for all queries."""
    return None if mask is None else ~mask.unsqueeze(1)


def readable(memory: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None) -> Float[Tensor, "b n d"]:
    """Return the memory with zeros where it may not be read: padding may hold anything, also NaN."""
    return memory if mask is None else memory.masked_fill(~mask.unsqueeze(2), 0.0)


def masked_softmax(scores: Float[Tensor, "b t n"], hidden: Tensor | None) -> Float[Tensor, "b t n"]:
    """Return the softmax over what is not ``hidden``; exactly 0 there, and rows of zeros if all is.

    The least finite number stands in for minus infinity, whose softmax over a row of it alone is NaN.
    """
    if hidden is None:
        return scores.softmax(dim=-1)
    lowest = torch.finfo(scores.dtype).min
    return scores.masked_fill(hidden, lowest).softmax(dim=-1).masked_fill(hidden, 0.0)


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """Return ``layer(x)``, for half types outside autocast in float32: scores decide by small differences."""
    whole_precision = widen(x) is x and x.dtype == layer.weight.dtype
    if whole_precision or torch.is_autocast_enabled(x.device.type):
        return layer(x)
    bias = None if layer.bias is None else widen(layer.bias)
    return F.linear(widen(x), widen(layer.weight), bias)


def products(query: Float[Tensor, "b t d"], memory: Float[Tensor, "b n d"]) -> Float[Tensor, "b t n"]:
    """Return the dot product of every query and entry; in float32 for half types, also under autocast."""
    with full_precision(query):
        return widen(query) @ widen(memory).transpose(1, 2)
