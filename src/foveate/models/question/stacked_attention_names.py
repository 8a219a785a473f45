"""The arrays of the authors' stacked attention networks as our weights.

Source  the arrays that the authors' Theano code saves (zcyang's imageqa-san): matrices multiply from the
        left.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

_LAYERS = {
    "image_mlp": "places",
    "conv_unigram": "question.windows.0",
    "conv_bigram": "question.windows.1",
    "conv_trigram": "question.windows.2",
    "combined_mlp_0": "logits",
}
_OF_A_HOP = {"image": "of_place", "sent": "of_question", "combined": "energy"}


def of_authors(arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the authors' arrays under our names."""
    found = {}
    for name, value in arrays.items():
        ours, matrix = _named(name)
        found[ours] = value.t() if matrix else value
    return found


def _named(name: str) -> tuple[str, bool]:
    """Return our name of an array, and whether it is a matrix that has to be transposed."""
    if name == "w_emb":
        return "question.words.weight", False
    fixed = {
        "sent_lstm_w_x": ("question.recurrent_input.weight", True),
        "sent_lstm_b_h": ("question.recurrent_input.bias", False),
        "sent_lstm_w_h": ("question.recurrent.weight", True),
    }
    if name in fixed:
        return fixed[name]
    hop = re.fullmatch(r"(image|sent|combined)_att_mlp_(\d+)_([wb])", name)
    if hop:
        layer = f"hops.{int(hop[2]) - 1}.{_OF_A_HOP[hop[1]]}"
        return (f"{layer}.weight", True) if hop[3] == "w" else (f"{layer}.bias", False)
    layer, kind = name[:-2], name[-2:]
    if layer in _LAYERS and kind in ("_w", "_b"):
        return (f"{_LAYERS[layer]}.weight", True) if kind == "_w" else (f"{_LAYERS[layer]}.bias", False)
    return name, False
