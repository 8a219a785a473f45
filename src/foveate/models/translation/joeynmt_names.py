"""The weights of Joey NMT's recurrent networks, under foveate's names."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from foveate.models.weight_names import Rules, renamed

_RULES: Rules = (
    (r"^src_embed\.lut\.", "encoder.words."),
    (r"^trg_embed\.lut\.", "decoder.words."),
    (r"^encoder\.rnn\.(\w+)_l(\d+)_reverse$", r"encoder.back.\2.\1"),
    (r"^encoder\.rnn\.(\w+)_l(\d+)$", r"encoder.ahead.\2.\1"),
    (r"^decoder\.rnn\.(\w+)_l(\d+)$", r"decoder.cells.\2.\1"),
    (r"^decoder\.att_vector_layer\.", "decoder.readout.pair."),
    (r"^decoder\.output_layer\.", "decoder.output."),
    (r"^decoder\.bridge_layer\.", "decoder.first.layers.0."),
    (r"^decoder\.attention\.(key|query|energy)_layer\.", r"decoder.reader.read.scores.\1."),
)


def is_joeynmt(state: Mapping[str, Tensor]) -> bool:
    """Return whether these are the weights of a recurrent network of Joey NMT."""
    return "decoder.att_vector_layer.weight" in state


def from_joeynmt(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights under our names.

    Its "luong" attention has the keys' matrix alone, (n, 2e), which is that of a general read transposed.
    """
    ours = renamed(state, _RULES, {})
    if "decoder.attention.query_layer.weight" not in state:
        keys = ours.pop("decoder.reader.read.scores.key.weight", None)
        if keys is not None:
            ours["decoder.reader.read.form.weight"] = keys.t().contiguous()
    return ours
