"""The state of a recurrent layer behind the last word of each sentence of a batch.

Padding changes nothing, to the bit: what lies behind a sentence's end is not computed, or held out.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

States = tuple[Tensor, ...]  # h; of an LSTM h and c


def last_state(
    layer: nn.GRU | nn.LSTM, x: Float[Tensor, "b t m"], lengths: Int64[Tensor, " b"]
) -> tuple[Float[Tensor, "b n"], ...]:
    """Return h, of an LSTM h and c, behind the last step of each row; a layer of one direction.

    Args:
        layer: Built with ``batch_first``, one layer deep.
        x: What goes in.
        lengths: Steps of each row, at least 1.
    """
    if torch.compiler.is_compiling():  # torch.export cannot pack
        return _stepwise(layer, x, lengths)
    packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
    states = layer(packed)[1]
    return tuple(state[0] for state in states) if isinstance(layer, nn.LSTM) else (states[0],)


def _stepwise(layer: nn.GRU | nn.LSTM, x: Tensor, lengths: Tensor) -> States:
    zeros = x.new_zeros(x.shape[0], layer.hidden_size)
    states: States = (zeros, zeros) if isinstance(layer, nn.LSTM) else (zeros,)
    weights: Any = (layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0)
    for step, given in enumerate(x.unbind(1)):
        if isinstance(layer, nn.LSTM):
            new: States = torch.lstm_cell(given, list(states), *weights)
        else:
            new = (torch.gru_cell(given, states[0], *weights),)
        there = (step < lengths).unsqueeze(1)
        states = tuple(torch.where(there, n, old) for n, old in zip(new, states, strict=True))
    return states
