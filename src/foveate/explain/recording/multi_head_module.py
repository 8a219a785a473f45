"""Weights of ``nn.MultiheadAttention``, computed again from its inputs and parameters.

In inference the module may run as one fused operation that a function mode would switch off, with another
rounding. So recording wraps the module's ``forward`` for the time of the block, and steps aside inside.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foveate.explain.recording.sdpa_call import SdpaCall

_FORWARD = inspect.signature(nn.MultiheadAttention.forward)
_FUNCTION = inspect.signature(F.multi_head_attention_forward)


def of_module(
    module: nn.MultiheadAttention, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any
) -> SdpaCall:
    """Return the attention inside one call of a module."""
    given = _FORWARD.bind(module, *args, **kwargs)
    given.apply_defaults()
    inputs = {name: given.arguments[name] for name in ("query", "key", "value")}
    if module.batch_first:
        inputs = {name: x.transpose(0, 1) if x.ndim == 3 else x for name, x in inputs.items()}
    separate = {}
    if not module._qkv_same_embed_dim:
        separate = {f"{x}_proj_weight": getattr(module, f"{x}_proj_weight") for x in "qkv"}
    return _attention(
        **inputs,
        num_heads=module.num_heads,
        in_proj_weight=module.in_proj_weight,
        in_proj_bias=module.in_proj_bias,
        bias_k=module.bias_k,
        bias_v=module.bias_v,
        add_zero_attn=module.add_zero_attn,
        dropout_p=module.dropout if module.training else 0.0,
        out_proj_weight=module.out_proj.weight,
        key_padding_mask=given.arguments["key_padding_mask"],
        attn_mask=given.arguments["attn_mask"],
        is_causal=given.arguments["is_causal"],
        output=result[0],
        batch_first=module.batch_first,
        **separate,
    )


def of_function(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> SdpaCall:
    """Return the attention inside one call of ``F.multi_head_attention_forward``."""
    given = _FUNCTION.bind(*args, **kwargs)
    given.apply_defaults()
    named = given.arguments
    taken = (
        "query", "key", "value", "num_heads", "in_proj_weight", "in_proj_bias", "bias_k", "bias_v",
        "add_zero_attn", "out_proj_weight", "key_padding_mask", "attn_mask", "is_causal",
        "q_proj_weight", "k_proj_weight", "v_proj_weight",
    )  # fmt: skip
    return _attention(
        **{name: named[name] for name in taken},
        dropout_p=named["dropout_p"] if named["training"] else 0.0,
        output=result[0],
        batch_first=False,
    )


@torch.no_grad()
def _attention(
    *,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    key_padding_mask: Tensor | None,
    attn_mask: Tensor | None,
    is_causal: bool,
    output: Tensor,
    batch_first: bool,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
) -> SdpaCall:
    """Project (L, B, E), merge the masks, and return the attention over (B, h, L, d)."""
    if query.ndim == 2:
        query, key, value = (x.unsqueeze(1) for x in (query, key, value))
        key_padding_mask = key_padding_mask.unsqueeze(0) if key_padding_mask is not None else None
    separate = (q_proj_weight, k_proj_weight, v_proj_weight)
    weights: Sequence[Any] = separate if in_proj_weight is None else in_proj_weight.chunk(3)
    biases = in_proj_bias.chunk(3) if in_proj_bias is not None else (None,) * 3
    q, k, v = (F.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True))
    batch = query.shape[1]
    added = 0
    if bias_k is not None and bias_v is not None:
        k, v = torch.cat([k, bias_k.expand(1, batch, -1)]), torch.cat([v, bias_v.expand(1, batch, -1)])
        added += 1
    q, k, v = (x.unflatten(-1, (num_heads, -1)).permute(1, 2, 0, 3) for x in (q, k, v))  # B h L d
    if add_zero_attn:
        k, v = (torch.cat([x, x.new_zeros(*x.shape[:2], 1, x.shape[3])], dim=2) for x in (k, v))
        added += 1
    mask = _merged(attn_mask, key_padding_mask, batch, num_heads, added, q)

    def of_result(gradient: Tensor) -> Tensor:
        """Return the gradient before the heads are merged and projected."""
        gradient = gradient.unsqueeze(1 if not batch_first else 0) if gradient.ndim == 2 else gradient
        gradient = gradient if batch_first else gradient.transpose(0, 1)  # B L E
        return (gradient @ out_proj_weight.detach()).unflatten(-1, (num_heads, -1)).transpose(1, 2)

    causal = is_causal and attn_mask is None
    return SdpaCall(q, k, v, mask, dropout_p, causal, None, False, output, of_result)


def _merged(
    attn_mask: Tensor | None, padding: Tensor | None, batch: int, heads: int, added: int, like: Tensor
) -> Tensor | None:
    """Return both masks as one that is added to the scores (B, h, N, M)."""
    mask = None
    if attn_mask is not None:
        mask = _additive(F.pad(attn_mask, (0, added)), like)
        mask = mask.view(batch, heads, *mask.shape[-2:]) if mask.ndim == 3 and len(mask) > 1 else mask
    if padding is not None:
        hidden = _additive(F.pad(padding, (0, added)), like)[:, None, None]
        mask = hidden if mask is None else mask + hidden
    return mask


def _additive(mask: Tensor, like: Tensor) -> Tensor:
    """Return a mask of the module, in which True hides, as scores to add."""
    if mask.dtype != torch.bool:
        return mask.to(like.dtype)
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill(mask, -torch.inf)
