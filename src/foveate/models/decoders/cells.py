"""Recurrent cells whose input is projected beforehand, for all words of a sentence in one product.

A cell of PyTorch multiplies the whole input at each step. Here the caller adds up the products of what a cell
is given, the words' once for all steps and what was read step by step, and the cell does the rest. Weights
have PyTorch's names, shapes and order of gates.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.models.decoders.repeated_linear import repeated
from foveate.options import one_of, whole

GATES = {"gru": 3, "lstm": 4, "cho_gru": 3}
Product = Callable[[Tensor], Tensor]
States = tuple[Tensor, ...]  # h; of an LSTM h and c
Step = Callable[[Tensor, States], States]


class Cell(nn.Module):
    """One step of a recurrent layer.

    Args:
        channels: Width of the input.
        state: Width n of the state.
        kind: "gru", "lstm", or "cho_gru", the gated unit of Cho et al. (EMNLP 2014. arXiv:1406.1078), which
            RNNsearch uses: the reset gate is applied before the recurrent matrix, not after it, and the
            update gate is the share of the candidate, not of the old state.
        biases: Which of PyTorch's two bias vectors there are: "both", "input" or "state".

    Raises:
        OptionError: ``kind`` or ``biases`` is unknown, or a width is not a positive whole number.
    """

    bias_ih: nn.Parameter | None
    bias_hh: nn.Parameter | None

    def __init__(self, channels: int, state: int, kind: str = "gru", *, biases: str = "both") -> None:
        super().__init__()
        one_of("cell", kind, GATES)
        one_of("biases", biases, ("both", "input", "state"))
        rows = GATES[kind] * whole("state", state)
        self.kind, self.state = kind, state
        self.weight_ih = nn.Parameter(torch.empty(rows, whole("channels", channels)))
        self.weight_hh = nn.Parameter(torch.empty(rows, state))
        own = {"bias_ih": biases != "state", "bias_hh": biases != "input"}
        for name, there in own.items():
            self.register_parameter(name, nn.Parameter(torch.empty(rows)) if there else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh weights: for each gate Xavier's, and orthogonal ones between states; biases 0.

        An LSTM starts with a bias of 1 at the gate that keeps its memory.
        """
        for gate in self.weight_ih.split(self.state):
            nn.init.xavier_uniform_(gate)
        for gate in self.weight_hh.split(self.state):
            nn.init.orthogonal_(gate)
        biases = [bias for bias in (self.bias_ih, self.bias_hh) if bias is not None]
        for bias in biases:
            nn.init.zeros_(bias)
        if self.kind == "lstm":
            nn.init.ones_(biases[0][self.state : 2 * self.state])

    def unrolled(self) -> Step:
        """Return the function that makes the steps of one sentence.

        It takes what the cell is given, times ``weight_ih``, plus ``bias_ih``, and the states; it returns the
        next states.
        """
        if self.kind == "cho_gru":
            gates, candidate = (repeated(*part) for part in self._parts(2 * self.state))
            return partial(_cho_gru, gates, candidate)
        return partial(_lstm if self.kind == "lstm" else _gru, repeated(self.weight_hh, self.bias_hh))

    def _parts(self, first: int) -> list[tuple[Tensor, Tensor | None]]:
        """Return weight and bias of the first rows of the state's, and of the others."""
        parts = []
        for rows in (slice(None, first), slice(first, None)):
            part = [None if one is None else one[rows] for one in (self.weight_hh, self.bias_hh)]
            if torch.compiler.is_exporting():  # an exported loop takes no two views of one tensor
                part = [None if one is None else one.clone() for one in part]
            parts.append((part[0], part[1]))
        return parts  # type: ignore[return-value]


def _lstm(recur: Product, given: Float[Tensor, "b g"], states: States) -> States:
    put, kept, new, shown = (given + recur(states[0])).chunk(4, dim=-1)
    cell = kept.sigmoid() * states[1] + put.sigmoid() * new.tanh()
    return shown.sigmoid() * cell.tanh(), cell


def _gru(recur: Product, given: Float[Tensor, "b g"], states: States) -> States:
    (state,) = states
    given_gates, given_new = _parted(given)
    recurrent_gates, recurrent_new = _parted(recur(state))
    reset, kept = (given_gates + recurrent_gates).sigmoid().chunk(2, dim=-1)
    candidate = torch.addcmul(given_new, reset, recurrent_new).tanh()
    return (torch.lerp(candidate, state.to(candidate.dtype), kept),)


def _cho_gru(recur: Product, recur_reset: Product, given: Float[Tensor, "b g"], states: States) -> States:
    (state,) = states
    given_gates, given_new = _parted(given)
    reset, new = (given_gates + recur(state)).sigmoid().chunk(2, dim=-1)
    candidate = (given_new + recur_reset(reset * state)).tanh()
    return (torch.lerp(state.to(candidate.dtype), candidate, new),)


def _parted(rows: Float[Tensor, "b g"]) -> tuple[Float[Tensor, "b h"], Float[Tensor, "b n"]]:
    """Return what the two gates are given, and the candidate."""
    n = rows.shape[-1] // 3
    gates, candidate = rows.split([2 * n, n], dim=-1)
    return gates, candidate
