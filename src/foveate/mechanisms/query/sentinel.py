"""Visual sentinel: a read that may look away, at what the decoder knows already.

Formula c = beta s + sum_j a_j m_j, (a, beta) = softmax([z, z_s]), z_j = w . tanh(W m_j + G h),
        z_s = w . tanh(W_s s + G h); h the query, s the sentinel
Paper   Lu, Xiong, Parikh, Socher. Knowing When to Look: Adaptive Attention via a Visual Sentinel for Image
        Captioning. CVPR 2017. arXiv:1612.01887, section 2.3.
Shapes  query (B, T, Q), memory (B, N, D), mask (B, N), sentinel (B, T, D) -> context (B, T, D), weights over
        the memory alone (B, T, N), rows sum to 1; map (B, T, N+1), the last slot is beta, rows sum to 1.
Cost    with n = hidden: parameters n*(Q + 2*D + 1) + D; MACs of one query n*(Q + D + 1) + N*(n*D + n + D).
        kind="released": parameters D*D + D*Q + 2*D + 2*n and n*(D - Q) more, MACs D*D + D*Q + n*(D - Q) more.
Differs none with kind="paper"; "released" is the authors' code: s passes through a linear
        layer and relu, h through one and tanh, and W, W_s, G have biases; there the sentinel is slot 0.
        Without a sentinel given, a learned vector replaces it. A query that may read nothing gets zeros, not
        the sentinel, as in every read.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from foveate.errors import ShapeError
from foveate.mechanisms.base import Read, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import exact_linear, widen
from foveate.mechanisms.reading.scores import hidden as nothing_at
from foveate.mechanisms.reading.scores import masked_softmax, readable
from foveate.options import one_of, whole


class SentinelReading(NamedTuple):
    """What was read.

    Attributes:
        context: (B, T, D), of memory and sentinel.
        weights: (B, T, N) over the memory alone, rows sum to 1: the paper's alpha.
        beta: (B, T), how much the query took from the sentinel, in [0, 1].
    """

    context: Float[Tensor, "b t d"]
    weights: Float[Tensor, "b t n"]
    beta: Float[Tensor, "b t"]


@mechanisms.register("sentinel")
class VisualSentinelRead(Read):
    """Read a memory and one more slot, the sentinel, by additive scores.

    Args:
        channels: D of the memory's entries, and of the sentinel.
        query: Q of the queries; None takes ``channels``.
        hidden: Width n of the network that scores; None takes ``channels``. Paper: 49, the number of regions.
        kind: "paper", or "released" for the authors' code, with layers before the scores.

    Raises:
        OptionError: ``kind`` is unknown, or a width is not a positive whole number.

    Example:
        >>> import torch
        >>> module = VisualSentinelRead(64)
        >>> query, memory, state = torch.rand(2, 3, 64), torch.rand(2, 49, 64), torch.rand(2, 3, 64)
        >>> context, weights, beta = module.read(query, memory, sentinel=state)
        >>> context.shape, weights.shape, beta.shape
        (torch.Size([2, 3, 64]), torch.Size([2, 3, 49]), torch.Size([2, 3]))
    """

    facets = Facets(
        over=("positions", "steps"), driven_by="query", weighting="soft", sites=("pool", "output")
    )
    variants = {"query": 24, "hidden": 8, "kind": "released"}

    def __init__(
        self, channels: int, *, query: int | None = None, hidden: int | None = None, kind: str = "paper"
    ) -> None:
        super().__init__()
        one_of("kind", kind, ("paper", "released"))
        self.channels = whole("channels", channels)
        self.query_channels = channels if query is None else whole("query", query)
        self.hidden = channels if hidden is None else whole("hidden", hidden)
        self.released = kind == "released"
        asked = self.query_channels
        if self.released:
            self.before_sentinel = nn.Linear(channels, channels)
            self.before_query = nn.Linear(asked, channels)
            asked = channels
        self.key = nn.Linear(channels, self.hidden, bias=self.released)
        self.sentinel_key = nn.Linear(channels, self.hidden, bias=self.released)
        self.query = nn.Linear(asked, self.hidden, bias=False)  # G's bias is W's and W_s's
        self.energy = nn.Linear(self.hidden, 1, bias=False)
        self.sentinel = nn.Parameter(nn.init.normal_(torch.empty(channels), std=channels**-0.5))
        self.map = MapTap("b t m", sums="m")

    def prepare(
        self, memory: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n k"]:
        """Return the keys."""
        return exact_linear(self.key, readable(memory, mask))

    def forward(
        self,
        query: Float[Tensor, "b t q"],
        memory: Float[Tensor, "b n d"],
        mask: Bool[Tensor, "b n"] | None = None,
        *,
        sentinel: Float[Tensor, "b t d"] | None = None,
        keys: Float[Tensor, "b n k"] | None = None,
    ) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b t n"]]:
        """Return the context, and the weights over the memory alone; see ``read``."""
        reading = self.read(query, memory, mask, sentinel=sentinel, keys=keys)
        return reading.context, reading.weights

    def read(
        self,
        query: Float[Tensor, "b t q"],
        memory: Float[Tensor, "b n d"],
        mask: Bool[Tensor, "b n"] | None = None,
        *,
        sentinel: Float[Tensor, "b t d"] | None = None,
        keys: Float[Tensor, "b n k"] | None = None,
    ) -> SentinelReading:
        """Return the context, the weights and beta; ``sentinel`` is the state to fall back on, of each step.

        Raises:
            ShapeError: One of the four does not fit this or the others.
        """
        if keys is None:
            self._check_reading(query, memory, mask)
            memory = readable(memory, mask)
            keys = self.prepare(memory)
        sentinel = self._sentinel(query, sentinel)
        scores, own = self._scores(query, keys, sentinel)
        nothing = nothing_at(mask)
        joint = None if nothing is None else torch.cat([nothing, nothing.all(dim=2, keepdim=True)], dim=2)
        slots = self.map(masked_softmax(torch.cat([scores, own], dim=2), joint)).to(memory.dtype)
        beta = slots[:, :, -1:]
        context = slots[:, :, :-1] @ memory + beta * sentinel
        return SentinelReading(context, masked_softmax(scores, nothing).to(memory.dtype), beta.squeeze(2))

    def _sentinel(self, query: Tensor, sentinel: Tensor | None) -> Float[Tensor, "b t d"]:
        """Return the sentinel of every query: the one given or the learned one, ready to be mixed in."""
        expected = (*query.shape[:2], self.channels)
        if sentinel is None:
            sentinel = self.sentinel.expand(expected)
        elif sentinel.shape != expected:
            raise ShapeError(
                f"{type(self).__name__}: got a sentinel of shape {tuple(sentinel.shape)}, expected "
                f"{tuple(expected)}: one vector of the memory's width for each query."
            )
        return self.before_sentinel(sentinel).relu() if self.released else sentinel

    def _scores(self, query: Tensor, keys: Tensor, sentinel: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores of the memory (B, T, N) and of the sentinel (B, T, 1)."""
        if self.released:
            query = exact_linear(self.before_query, query).tanh()
        asked = exact_linear(self.query, query)
        own = exact_linear(self.sentinel_key, sentinel)
        scores = exact_linear(self.energy, (asked.unsqueeze(2) + keys.unsqueeze(1)).tanh()).squeeze(3)
        return widen(scores), widen(exact_linear(self.energy, (asked + own).tanh()))

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        entries, n = height * width, self.hidden
        layers = self.channels * (self.channels + self.query_channels) * self.released
        asked = n * (self.channels if self.released else self.query_channels)
        biases = 2 * (self.channels + n) * self.released
        parameters = layers + asked + n * (2 * self.channels + 1) + self.channels + biases
        own = layers + asked + n * (self.channels + 1)
        macs = own + entries * (n * self.channels + n + self.channels)
        return Cost(parameters=parameters, macs=macs, bytes=4 * parameters)
