"""How a decoder reads its memory: any read of the catalogue, soft or with a choice, or none at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.calls import parse_call
from foveate.errors import OptionError
from foveate.mechanisms.base import Read, build, mechanisms
from foveate.mechanisms.precision import full_precision
from foveate.mechanisms.query.sentinel import VisualSentinelRead
from foveate.mechanisms.reading.drawing import masked_logs
from foveate.mechanisms.reading.hard_read import HardRead
from foveate.mechanisms.reading.scores import masked_softmax
from foveate.mechanisms.reading.soft_read import SoftRead
from foveate.models.decoders.choices import (
    Choice,
    GumbelChoice,
    MarginalChoice,
    MonotonicChoice,
    ReinforceChoice,
)
from foveate.models.decoders.fixed_read import FixedRead
from foveate.models.decoders.word_model import Memory, State
from foveate.options import checked, one_of

ALIGNMENT = "alignment"  # the entry of the state that says where a monotonic read has got to
KEYS = "keys"  # the entry of a memory's extra that holds what was prepared
Mean = Callable[[Tensor], Tensor]
CHOSEN: dict[str, type[Choice]] = {
    "reinforce": ReinforceChoice,
    "gumbel": GumbelChoice,
    "marginal": MarginalChoice,
    "monotonic": MonotonicChoice,
}


class Look(NamedTuple):
    """What T steps read.

    Attributes:
        context: (B, T, D).
        weights: (B, T, N); (B, T, N + 1) with a sentinel, which comes last.
        log_probability: (B, T), of what was chosen; None where nothing was.
        entropy: (B, T), of what it was chosen from, in nats; None where nothing was.
    """

    context: Float[Tensor, "b t d"]
    weights: Float[Tensor, "b t n"]
    log_probability: Float[Tensor, "b t"] | None = None
    entropy: Float[Tensor, "b t"] | None = None


class Reader(nn.Module):
    """Read a memory for the queries of a decoder.

    Args:
        channels: D of the memory's entries.
        query: Q of the queries.
        attention: A read of the catalogue, with options: ``"additive(hidden=256)"``; ``"none"`` or
            ``"none(of=last)"`` for the mean or the last entry at every step; or a read that was built.
        choice: ``"soft"``, or how one place is chosen, with options: ``"reinforce"``, ``"gumbel"``,
            ``"marginal(places=5)"``, ``"monotonic"``. For soft reads only: reads that are hard by themselves
            choose in their own way.

    Raises:
        UnknownNameError: There is no such mechanism.
        OptionError: The mechanism is not a read, an option does not exist or is out of range, or nothing can
            be chosen from what the mechanism weighs.
        SpecError: One of the two cannot be parsed.
    """

    def __init__(
        self, channels: int, query: int, *, attention: str | Read | None = "additive", choice: str = "soft"
    ) -> None:
        super().__init__()
        self.read = attention if isinstance(attention, Read) else _read(channels, query, attention)
        self.choice = _choice(choice)
        if self.choice is not None:
            _check_choosable(self.read, attention, choice)

    def prepare(self, memory: Memory) -> Memory:
        """Return the memory with what is computed of it once, whatever the queries."""
        if KEYS in memory.extra or not isinstance(self.read, Read):
            return memory
        keys = self.read.prepare(memory.entries, memory.mask)
        if keys is None or keys is memory.entries:
            return memory
        return memory._replace(extra={**memory.extra, KEYS: keys})

    def start(self, memory: Memory) -> State:
        """Return the part of the state that the reader carries from step to step."""
        if not isinstance(self.choice, MonotonicChoice):
            return {}
        place = torch.arange(memory.entries.shape[1], device=memory.entries.device)
        first = (place == 0).to(memory.entries.dtype)
        return {ALIGNMENT: first.expand(memory.entries.shape[:2])}

    def forward(
        self, query: Float[Tensor, "b t q"], memory: Memory, state: State, mean: Mean | None = None
    ) -> tuple[Look, State]:
        """Return what was read, and the reader's part of the state after the last step.

        ``mean`` is a faster way to the product of weights and entries, if there is one; see ``shared_mean``.
        """
        read, entries, mask = self.read, memory.entries, memory.mask
        if isinstance(read, FixedRead):
            return Look(*read(query, entries, mask)), {}
        keys = memory.extra.get(KEYS, entries)
        if self.choice is not None:
            return self._chosen(query, memory, keys, state, mean)
        if isinstance(read, HardRead):
            found = read.read(query, entries, mask, keys=keys)
            return Look(found.context, found.weights, found.log_probability, found.entropy), {}
        if isinstance(read, VisualSentinelRead):
            context, weights, beta = read.read(query, entries, mask, keys=keys)
            beta = beta.unsqueeze(2)
            return Look(context, torch.cat([weights * (1 - beta), beta], dim=2)), {}
        if isinstance(read, SoftRead):
            return Look(*read(query, entries, mask, keys=keys, mean=mean)), {}
        return Look(*read(query, entries, mask)), {}

    def _chosen(
        self, query: Tensor, memory: Memory, keys: Tensor, state: State, mean: Mean | None
    ) -> tuple[Look, State]:
        read, choice = self.read, self.choice
        assert isinstance(read, SoftRead) and choice is not None
        with full_precision(query):  # under autocast a rounded score is another choice
            scores, hidden = read.energies(query, keys, memory.mask)
            if isinstance(choice, MonotonicChoice):
                weights = choice.walk(scores, hidden, state[ALIGNMENT])
                state = {ALIGNMENT: weights[:, -1]}
            else:
                weights, state = choice(scores, hidden), {}
            weights = read.map(weights)
            learnt = self._learnt(scores, hidden, weights)
        weights = weights.to(memory.entries.dtype)
        context = weights @ memory.entries if mean is None else mean(weights)
        return Look(read.gated(context, query), weights, *learnt), state

    def _learnt(
        self, scores: Tensor, hidden: Tensor | None, weights: Tensor
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return the log-probability of what was chosen, and the entropy of what it was chosen from."""
        if not isinstance(self.choice, ReinforceChoice | GumbelChoice):
            return None, None
        logs = masked_logs(scores, hidden)
        entropy = -(masked_softmax(scores, hidden) * logs).sum(dim=2)
        return (weights.detach() * logs).sum(dim=2), entropy

    def candidates(
        self, query: Float[Tensor, "b t q"], memory: Memory
    ) -> tuple[Float[Tensor, "b t k"], Float[Tensor, "b t k d"], Float[Tensor, "b t n"]]:
        """Return what could be read: log-probabilities, the contexts, and the probability of every place.

        For the exact marginal: all places, or the ``places`` most probable, whose probabilities sum to 1.
        """
        read, choice = self.read, self.choice
        assert isinstance(read, SoftRead) and isinstance(choice, MarginalChoice)
        keys = memory.extra.get(KEYS, memory.entries)
        with full_precision(query):
            scores, hidden = read.energies(query, keys, memory.mask)
            weights = read.map(choice.drawn(scores, hidden)).to(memory.entries.dtype)
            if hidden is not None:
                scores = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)
            if choice.places is None or choice.places >= scores.shape[2]:
                contexts = memory.entries.unsqueeze(1).expand(-1, query.shape[1], -1, -1)
            else:
                scores, places = scores.topk(choice.places, dim=2)
                rows = torch.arange(places.shape[0], device=places.device)[:, None, None]
                contexts = memory.entries[rows, places]
            logs = F.log_softmax(scores, dim=2)
        if read.gates:
            asked = query.repeat_interleave(contexts.shape[2], dim=1)
            contexts = read.gated(contexts.flatten(1, 2), asked).view(contexts.shape)
        return logs, contexts, weights

    @property
    def summing(self) -> bool:
        """Whether the probability of a word is now summed over all places that could be read."""
        return isinstance(self.choice, MarginalChoice) and self.choice.summing

    @property
    def rewarded(self) -> nn.Module | None:
        """The loss that rewards choices, if these learn by REINFORCE."""
        return self.choice.reward if isinstance(self.choice, ReinforceChoice) else None


def _read(channels: int, query: int, attention: str | None) -> nn.Module:
    name, options = parse_call("none" if attention is None else attention)
    if name == "none":
        return FixedRead(**checked("none", FixedRead, options))
    if mechanisms[name].interface != "read":
        known = ", ".join(sorted(n for n in mechanisms if mechanisms[n].interface == "read"))
        raise OptionError(
            f"attention: {name} takes a map, not a query and a memory. Reads are {known}; none reads the mean"
        )
    return build(name, channels, query=query, **options)


def _choice(choice: str) -> Choice | None:
    name, options = parse_call(choice)
    one_of("choice", name, ("soft", *CHOSEN))
    if name == "soft":
        if options:
            raise OptionError(f"choice: soft takes no options, got {', '.join(options)}")
        return None
    return CHOSEN[name](**checked(name, CHOSEN[name], options))


def _check_choosable(read: nn.Module, attention: str | Read | None, choice: str) -> None:
    if not isinstance(read, SoftRead):
        hard = " It chooses in its own way: write choice=soft." if isinstance(read, HardRead) else ""
        raise OptionError(
            f"choice: got {choice!r} with attention={attention!r}, which gives no scores of the memory's "
            f"places to choose by.{hard}"
        )
    if not getattr(read, "normalise", True):
        raise OptionError(
            f"choice: got {choice!r} with attention={attention!r}, whose weights do not sum to 1, so they "
            "cannot be probabilities. Write normalise=True."
        )
