"""Weights of published Show, Attend and Tell captioners under the names of ours.

Paper   Xu et al. ICML 2015. arXiv:1502.03044: the arrays of the authors' Theano code, and the state dict of
        the decoder of a-PyTorch-Tutorial-to-Image-Captioning (sgrvinod).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from foveate.models.weight_names import renamed

_TUTORIAL = [
    (r"^attention\.encoder_att\.", "decoder.reader.read.of_place."),
    (r"^attention\.decoder_att\.", "decoder.reader.read.of_state."),
    (r"^attention\.full_att\.", "decoder.reader.read.energy."),
    (r"^embedding\.", "decoder.words."),
    (r"^decode_step\.", "decoder.cells.0."),
    (r"^init_h\.", "decoder.first.layers.0."),
    (r"^init_c\.", "decoder.first.layers.1."),
    (r"^f_beta\.", "decoder.reader.read.beta."),
    (r"^fc\.", "decoder.output."),
]
_LAYERS = {  # matrix and bias of the arrays: our layer
    ("ff_state_W", "ff_state_b"): "decoder.first.hidden",
    ("ff_memory_W", "ff_memory_b"): "decoder.first.cell",
    ("decoder_Wc_att", "decoder_b_att"): "decoder.reader.read.of_place",
    ("decoder_Wd_att", ""): "decoder.reader.read.of_state",
    ("decoder_U_att", "decoder_c_tt"): "decoder.reader.read.energy",
    ("decoder_W_sel", "decoder_b_sel"): "decoder.reader.read.beta",
    ("ff_logit_lstm_W", "ff_logit_lstm_b"): "decoder.readout.of_state",
    ("ff_logit_ctx_W", "ff_logit_ctx_b"): "decoder.readout.of_context",
    ("ff_logit_W", "ff_logit_b"): "decoder.output",
}
_STACKS = {  # the same, numbered from 1
    ("ff_init_{}_W", "ff_init_{}_b"): "decoder.first.deeper",
    ("decoder_W_att_{}", "decoder_b_att_{}"): "decoder.reader.read.deeper",
    ("ff_logit_h{}_W", "ff_logit_h{}_b"): "decoder.readout.deeper",
}


def of_tutorial(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tutorial's weights under our names."""
    return renamed(state, _TUTORIAL, own)


def of_authors(arrays: Mapping[str, Tensor], dropped: float) -> dict[str, Tensor]:
    """Return the authors' arrays as our weights.

    Theirs multiply from the left and have their gates in the order input, forget, output, candidate. Their
    dropout does not scale up what it keeps, but scales everything by 0.5 at inference; ours does, so that the
    weights behind it are smaller.

    Args:
        arrays: By the authors' names.
        dropped: What weights behind dropout are multiplied by: 0.5, or 1 for models trained without.
    """
    left = dict(arrays)
    found: dict[str, Tensor] = {}
    stacks = {
        (matrix.format(number), bias.format(number)): f"{layer}.{number - 1}"
        for (matrix, bias), layer in _STACKS.items()
        for number in range(1, len(arrays) + 1)
        if matrix.format(number) in arrays
    }
    deep_start = "ff_init_1_W" in arrays
    for (matrix, bias), layer in {**_LAYERS, **stacks}.items():
        behind = _behind_dropout(matrix, deep_start)
        if matrix in left:
            found[f"{layer}.weight"] = left.pop(matrix).t() * (dropped if behind else 1.0)
        if bias in left:
            found[f"{layer}.bias"] = left.pop(bias).reshape(-1)
    for name, ours in (("decoder_b", "bias_ih"), ("decoder_U", "weight_hh")):
        if name in left:
            found[f"decoder.cells.0.{ours}"] = _gates(left.pop(name))
    if "decoder_W" in left and "decoder_Wc" in left:
        given = torch.cat([left.pop("decoder_W"), left.pop("decoder_Wc")])
        found["decoder.cells.0.weight_ih"] = _gates(given)
    if "Wemb" in left:
        found["decoder.words.weight"] = left.pop("Wemb")
    return {**found, **left}


def _behind_dropout(matrix: str, deep_start: bool) -> bool:
    """Return whether dropout comes before a matrix."""
    if matrix in ("ff_state_W", "ff_memory_W"):
        return deep_start
    deeper = matrix.startswith("ff_init_") and matrix != "ff_init_1_W"
    return deeper or matrix in ("ff_logit_lstm_W", "ff_logit_W") or matrix.startswith("ff_logit_h")


def _gates(stacked: Tensor) -> Tensor:
    """Return stacked gates in our order, one a row: input, forget, candidate, output."""
    put, keep, out, new = stacked.chunk(4, dim=-1)
    ours = torch.cat([put, keep, new, out], dim=-1)
    return ours.t().contiguous() if ours.ndim == 2 else ours
