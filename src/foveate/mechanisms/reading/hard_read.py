"""What all hard reads share: scores, the distribution over entries, what is chosen, and what to learn by.

A hard read takes one or a few entries of a memory instead of a mean of all. A choice has no slope, so the
scores learn from ``Reading.log_probability`` (REINFORCE), or from an estimate of a slope in its place.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from foveate.mechanisms.base import Read
from foveate.mechanisms.facets import Cost
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import full_precision, widen
from foveate.mechanisms.reading.additive_score import AdditiveScore
from foveate.mechanisms.reading.drawing import masked_logs
from foveate.mechanisms.reading.scores import hidden as nothing_at
from foveate.mechanisms.reading.scores import masked_softmax, readable
from foveate.options import positive, whole


class Reading(NamedTuple):
    """What was read, and what the scores learn from.

    Attributes:
        context: (B, T, D).
        weights: (B, T, N), as used.
        probabilities: (B, T, N), what each entry would have been chosen with; rows sum to 1.
        log_probability: (B, T), of what was chosen, at most 0: sum of log(probabilities), weighed by
            ``weights``. Its slope in the scores is zero where the expectation was used.
        entropy: (B, T), of ``probabilities``, in nats.
    """

    context: Float[Tensor, "b t d"]
    weights: Float[Tensor, "b t n"]
    probabilities: Float[Tensor, "b t n"]
    log_probability: Float[Tensor, "b t"]
    entropy: Float[Tensor, "b t"]


class HardRead(Read):
    """Read single entries of a memory, by additive scores.

    Args:
        channels: D of the memory's entries.
        query: Q of the queries; None takes ``channels``.
        hidden: Width n of the network that scores; None takes ``channels``, but at least 16.
        temperature: What the scores are divided by; positive.

    Raises:
        OptionError: ``temperature`` is not positive, or a width is not a positive whole number.
    """

    def __init__(
        self, channels: int, query: int | None, hidden: int | None, *, temperature: float = 1.0
    ) -> None:
        super().__init__()
        self.channels = whole("channels", channels)
        self.query_channels = channels if query is None else whole("query", query)
        self.hidden = max(16, channels) if hidden is None else whole("hidden", hidden)
        self.temperature = positive("temperature", temperature)
        self.scores = AdditiveScore(self.query_channels, channels, self.hidden, bias=True)
        self.map = MapTap("b t m", sums="m")

    @abstractmethod
    def choose_weights(
        self, scores: Tensor, probabilities: Tensor, hidden: Tensor | None, generator: torch.Generator | None
    ) -> Float[Tensor, "b t n"]:
        """Return the weights, passed through ``map``, for (B, T, N) scores; ``hidden`` may not be chosen."""

    def prepare(
        self, memory: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n k"]:
        """Return the keys, in float32 for half types."""
        with full_precision(memory):
            return self.scores.keys(widen(readable(memory, mask)))

    def forward(
        self,
        query: Float[Tensor, "b t q"],
        memory: Float[Tensor, "b n d"],
        mask: Bool[Tensor, "b n"] | None = None,
        *,
        keys: Float[Tensor, "b n k"] | None = None,
    ) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b t n"]]:
        """Return the context and the weights of ``read``."""
        reading = self.read(query, memory, mask, keys=keys)
        return reading.context, reading.weights

    def read(
        self,
        query: Float[Tensor, "b t q"],
        memory: Float[Tensor, "b n d"],
        mask: Bool[Tensor, "b n"] | None = None,
        *,
        keys: Float[Tensor, "b n k"] | None = None,
        generator: torch.Generator | None = None,
    ) -> Reading:
        """Return what was read and what to learn from; random choices come from ``generator``."""
        if keys is None:
            self._check_reading(query, memory, mask)
            memory = readable(memory, mask)
            keys = self.prepare(memory)
        hidden = nothing_at(mask)
        with full_precision(query):  # under autocast a rounded score is another choice
            scores = self.scores.of_keys(widen(query), keys) / self.temperature
            probabilities = masked_softmax(scores, hidden)
            logs = masked_logs(scores, hidden)
            weights = self.choose_weights(scores, probabilities, hidden, generator)
            log_probability = (weights.detach() * logs).sum(dim=2)
            entropy = -(probabilities * logs).sum(dim=2)
        weights = weights.to(memory.dtype)
        return Reading(weights @ memory, weights, probabilities, log_probability, entropy)

    def cost(self, height: int, width: int) -> Cost:
        """Return the cost of one query that reads height * width entries; choosing is free."""
        entries = height * width
        parameters, macs = self.scores.cost(entries)
        return Cost(parameters=parameters, macs=macs + entries * self.channels, bytes=4 * parameters)
