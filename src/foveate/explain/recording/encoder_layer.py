"""Weights of an ``nn.TransformerEncoderLayer`` that ran as one fused operation.

In inference the layer passes its own attention by: ``nn.MultiheadAttention`` is not called, and a padded
batch arrives as a nested tensor. A hook on any part inside would switch that path off, and padded rows
would come out different. So recording wraps the layer's ``forward``, and computes from its input what the
fused operation computed inside.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from foveate.explain.recording.multi_head_module import of_module
from foveate.explain.recording.sdpa_call import SdpaCall

_FORWARD = inspect.signature(nn.TransformerEncoderLayer.forward)


@torch.no_grad()
def of_layer(
    layer: nn.TransformerEncoderLayer, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[SdpaCall, Tensor | None]:
    """Return the attention inside one fused call, and which tokens of a nested batch are padding (B, N)."""
    given = _FORWARD.bind(layer, *args, **kwargs)
    given.apply_defaults()
    x, padding = given.arguments["src"], given.arguments["src_key_padding_mask"]
    filled = None
    if x.is_nested:
        lengths = torch.tensor([len(part) for part in x.unbind()])
        x = x.to_padded_tensor(0.0)
        filled = torch.arange(x.shape[1]) >= lengths[:, None]
        padding = filled.to(x.device)
    if layer.norm_first:
        x = layer.norm1(x)
    named = {"key_padding_mask": padding, "attn_mask": given.arguments["src_mask"], "need_weights": False}
    return of_module(layer.self_attn, (x, x, x), named, (x, None)), filled
