"""The arrays of the dl4mt tutorial (session 2), under foveate's names.

Its matrices are (in, out), gates come first and the candidate in a matrix of its own; both are PyTorch's
order once transposed and joined. The conditional GRU is two of PyTorch's cells: what the second one adds to
the state is inside of the reset gate's product, so it is the state's bias.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

# c_tt is added to all scores alike, which changes no weight; the others are records of the training.
_LEFT_OUT = {"decoder_c_tt", "history_errs", "uidx"}
_LAYERS = {
    "ff_state": "decoder.first.layers.0",
    "ff_logit_lstm": "decoder.readout.of_state",
    "ff_logit_prev": "decoder.readout.of_word",
    "ff_logit_ctx": "decoder.readout.of_context",
    "ff_logit": "decoder.output",
}
_CELLS = {  # our cell: its input's matrices, the state's, the biases, and which bias of ours they are
    "encoder.ahead.0": (
        "encoder_W",
        "encoder_Wx",
        "encoder_U",
        "encoder_Ux",
        "encoder_b",
        "encoder_bx",
        "ih",
    ),
    "encoder.back.0": (
        "encoder_r_W",
        "encoder_r_Wx",
        "encoder_r_U",
        "encoder_r_Ux",
        "encoder_r_b",
        "encoder_r_bx",
        "ih",
    ),
    "decoder.cells.0": (
        "decoder_W",
        "decoder_Wx",
        "decoder_U",
        "decoder_Ux",
        "decoder_b",
        "decoder_bx",
        "ih",
    ),
    "decoder.second": (
        "decoder_Wc",
        "decoder_Wcx",
        "decoder_U_nl",
        "decoder_Ux_nl",
        "decoder_b_nl",
        "decoder_bx_nl",
        "hh",
    ),
}
_PLAIN = {
    "Wemb": "encoder.words.weight",
    "Wemb_dec": "decoder.words.weight",
    "decoder_b_att": "decoder.reader.read.scores.key.bias",
}
_TURNED = {
    "decoder_Wc_att": "decoder.reader.read.scores.key.weight",
    "decoder_W_comb_att": "decoder.reader.read.scores.query.weight",
    "decoder_U_att": "decoder.reader.read.scores.energy.weight",
}


def is_dl4mt(state: Mapping[str, Tensor]) -> bool:
    """Return whether these are the tutorial's arrays."""
    return "decoder_W_comb_att" in state


def from_dl4mt(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the arrays under our names; one that is missing is left out, one that is unknown stays."""
    left = {name: value for name, value in state.items() if name not in _LEFT_OUT}
    ours: dict[str, Tensor] = {}
    for cell, (w, wx, u, ux, b, bx, bias) in _CELLS.items():
        for names, own, dim in (((w, wx), "weight_ih", 1), ((u, ux), "weight_hh", 1), ((b, bx), "", 0)):
            if all(name in left for name in names):
                joined = torch.cat([left.pop(name) for name in names], dim=dim)
                ours[f"{cell}.{own or 'bias_' + bias}"] = joined.t().contiguous() if dim else joined
    for theirs, own in _LAYERS.items():
        if f"{theirs}_W" in left:
            ours[f"{own}.weight"] = left.pop(f"{theirs}_W").t().contiguous()
        if f"{theirs}_b" in left:
            ours[f"{own}.bias"] = left.pop(f"{theirs}_b")
    for theirs, own in _PLAIN.items():
        if theirs in left:
            ours[own] = left.pop(theirs)
    for theirs, own in _TURNED.items():
        if theirs in left:
            ours[own] = left.pop(theirs).t().contiguous()
    return {**ours, **left}
