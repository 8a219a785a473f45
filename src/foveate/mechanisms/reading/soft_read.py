"""What all soft reads share: the mask, the softmax, the weighted mean, the gate on it, and their costs.

A soft read only says how well each entry of a memory answers a query (``score``), by the entry's key
(``keys``); it is ``context = sum_j a_j m_j`` with ``a = softmax_j(score)`` over the entries that may be read.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

from jaxtyping import Bool, Float
from torch import Tensor, nn

from foveate.mechanisms.base import Read
from foveate.mechanisms.facets import Cost
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import exact_linear, widen
from foveate.mechanisms.reading.scores import hidden, masked_softmax, readable
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

    def keys(self, memory: Float[Tensor, "b n d"]) -> Float[Tensor, "b n k"]:
        """Return what the score needs of the memory; by default the memory."""
        return memory

    @abstractmethod
    def score(self, query: Float[Tensor, "b t q"], keys: Float[Tensor, "b n k"]) -> Float[Tensor, "b t n"]:
        """Return how well each entry answers each query, before the softmax; any real number."""

    @abstractmethod
    def score_cost(self, entries: int) -> tuple[int, int]:
        """Return the parameters of the score, and its multiply-adds for one query of that many entries."""

    def prepare(
        self, memory: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n k"]:
        """Return the keys."""
        return self.keys(readable(memory, mask))

    def forward(
        self,
        query: Float[Tensor, "b t q"],
        memory: Float[Tensor, "b n d"],
        mask: Bool[Tensor, "b n"] | None = None,
        *,
        keys: Float[Tensor, "b n k"] | None = None,
        mean: Callable[[Float[Tensor, "b t n"]], Float[Tensor, "b t d"]] | None = None,
    ) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b t n"]]:
        """Return what each query read, and the weights, which sum to 1 unless nothing may be read.

        A decoder that reads step by step gives the ``keys`` of ``prepare``, and may have a faster ``mean`` of
        the memory by the weights.
        """
        if keys is None:
            self._check_reading(query, memory, mask)
            memory = readable(memory, mask)
            keys = self.keys(memory)
        weights = self.map(self.weigh(query, keys, mask)).to(memory.dtype)
        return self.gated(weights @ memory if mean is None else mean(weights), query), weights

    def weigh(
        self,
        query: Float[Tensor, "b t q"],
        keys: Float[Tensor, "b n k"],
        mask: Bool[Tensor, "b n"] | None,
    ) -> Float[Tensor, "b t n"]:
        """Return the weights; in float32 for half types."""
        return masked_softmax(*self.energies(query, keys, mask))

    def energies(
        self,
        query: Float[Tensor, "b t q"],
        keys: Float[Tensor, "b n k"],
        mask: Bool[Tensor, "b n"] | None,
    ) -> tuple[Float[Tensor, "b t n"], Bool[Tensor, "b _ n"] | None]:
        """Return what the weights are the softmax of, in float32 for half types, and what is hidden."""
        return widen(self.score(query, keys)), hidden(mask)

    def matching(self, query: Float[Tensor, "b t q"]) -> Float[Tensor, "b t d"]:
        """Return the queries in the memory's width; in float32 for a half-precision model."""
        return exact_linear(self.match, query) if self.matched else widen(query)

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
