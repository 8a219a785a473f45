"""Says in words why nothing was recorded: the model has no attention, has not run, or hides it."""

from __future__ import annotations

import torch
from torch import nn

_HIDDEN = {
    "flash_attention_2": "flash-attn",
    "flash_attention_3": "flash-attn",
    "flex_attention": "FlexAttention",
    "paged_attention": "paged attention",
}


def why_nothing(model: nn.Module, ran: bool, layers: tuple[str, ...] | None) -> str:
    """Return one or two sentences on why a block has recorded nothing.

    Args:
        model: The model.
        ran: Whether anything ran inside the block.
        layers: The patterns of layers that were to be recorded; None for all.
    """
    name = type(model).__name__
    if hidden := hidden_attention(model):
        return hidden
    if not ran:
        return f"{name} has not run inside the block."
    if layers is not None:
        return f"No layer that matches layers={list(layers)} attended while {name} ran."
    return (
        f"{name} has no attention that foveate knows: while it ran, there was no call of "
        "scaled_dot_product_attention, no softmax that multiplies values, no nn.MultiheadAttention and "
        "no gate."
    )


def hidden_attention(model: nn.Module) -> str:
    """Return what hides attention from recording, and what to do; empty if nothing does."""
    for path, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            return (
                f"{path or 'The model'} is a TorchScript module, which runs outside of Python. Record the "
                "model that it was made from."
            )
        chosen = getattr(getattr(module, "config", None), "_attn_implementation", None)
        if chosen in _HIDDEN:
            return (
                f"{path or 'The model'} runs {_HIDDEN[chosen]}, whose kernels cannot be seen. Call "
                'model.set_attn_implementation("sdpa") first.'
            )
        if isinstance(module, nn.DataParallel) and len(module.device_ids) > 1:
            return (
                f"{path or 'The model'} is an nn.DataParallel over {len(module.device_ids)} devices, whose "
                "replicas run in threads of their own. Record the module inside: record(model.module)."
            )
    return ""
