"""Layers of ``nn.TransformerEncoder`` that run as one fused operation in inference, and bypass their parts.

PyTorch chooses that path by itself in eval mode without gradients: a model would be trained with its
attention and used without. So a layer with attention inside always runs as written.
"""

from __future__ import annotations

from torch import nn

_SAVED = "_foveate_fused"  # the attribute of a module that holds what was turned off in it
_SWITCHES = (
    (nn.TransformerEncoderLayer, "activation_relu_or_gelu", 0),
    (nn.TransformerEncoder, "use_nested_tensor", False),
)


def run_every_layer(model: nn.Module, path: str) -> None:
    """Turn off what would bypass a host at ``path``: fused layers around it, and nested tensors."""
    parts = path.split(".") if path else []
    for length in range(len(parts) + 1):
        around = model.get_submodule(".".join(parts[:length]))
        for kind, name, off in _SWITCHES:
            fuses_host = length == len(parts) and kind is nn.TransformerEncoderLayer  # with attention behind
            if isinstance(around, kind) and not fuses_host and getattr(around, name, off) != off:
                around.__dict__[_SAVED] = getattr(around, name)
                setattr(around, name, off)


def fuse_again(model: nn.Module) -> None:
    """Undo ``run_every_layer`` in every module of a model."""
    for module in model.modules():
        if _SAVED in module.__dict__:
            for kind, name, _ in _SWITCHES:
                if isinstance(module, kind):
                    setattr(module, name, module.__dict__.pop(_SAVED))
