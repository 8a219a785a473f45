"""Gates: factors that channels, positions or branches are multiplied by, read where a layer forms them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from foveate.explain.families.layout import class_names


@dataclass(frozen=True)
class Gate:
    """Where a layer forms its gate.

    Args:
        inside: Path inside the layer of the module whose output is, or holds, the gate.
        axes: The axes of the gate, see ``MapTap``.
        taken: How the gate is taken from the output; None if it is the output.
    """

    inside: str
    axes: str
    taken: Callable[[Any, Tensor], Tensor] | None = None


_CHANNELS = Gate("gate", "b c 1 1")
_PLACES = Gate("gate", "b c h w")
_GATES = {
    "timm.layers.squeeze_excite.SEModule": _CHANNELS,
    "timm.layers.squeeze_excite.EffectiveSEModule": _CHANNELS,
    "timm.layers.squeeze_excite.SqueezeExciteCl": Gate("gate", "b 1 1 c"),
    "timm.models._efficientnet_blocks.SqueezeExcite": _CHANNELS,
    "timm.models.senet.SEModule": Gate("sigmoid", "b c 1 1"),
    "timm.layers.eca.EcaModule": Gate("gate", "b 1 c"),
    "timm.layers.eca.CecaModule": Gate("gate", "b 1 c"),
    "timm.layers.cbam.LightChannelAttn": Gate("fc", "b c 1 1", lambda layer, out: out.sigmoid()),
    "timm.layers.cbam.ChannelAttn": _CHANNELS,
    "timm.layers.cbam.SpatialAttn": Gate("gate", "b 1 h w"),
    "timm.layers.cbam.LightSpatialAttn": Gate("gate", "b 1 h w"),
    "timm.layers.global_context.GlobalContext": _CHANNELS,
    "timm.layers.gather_excite.GatherExcite": _PLACES,
    "timm.layers.coord_attn.CoordAttn": _PLACES,
    "timm.layers.coord_attn.SimpleCoordAttn": _PLACES,
    "timm.layers.coord_attn.EfficientLocalAttn": _PLACES,
    "timm.layers.coord_attn.StripAttn": _PLACES,
    "timm.layers.selective_kernel.SelectiveKernelAttn": Gate("", "b s c 1 1"),
    "timm.layers.split_attn.SplitAttn": Gate(
        "rsoftmax", "b s c", lambda layer, out: out.view(len(out), layer.radix, -1)
    ),
    "timm.models.focalnet.FocalModulation": Gate(
        "f", "b s h w", lambda layer, out: torch.split(out, layer.input_split, dim=1)[-1]
    ),
    "torchvision.ops.misc.SqueezeExcitation": Gate("scale_activation", "b c 1 1"),
    "transformers.models.efficientnet.modeling_efficientnet.EfficientNetSqueezeExciteLayer": Gate(
        "sigmoid", "b c 1 1"
    ),
    "transformers.models.regnet.modeling_regnet.RegNetSELayer": Gate("attention", "b c 1 1"),
}


def gates_in(
    modules: Mapping[str, nn.Module],
) -> Iterator[tuple[str, nn.Module, nn.Module, Gate]]:
    """Yield the path of each layer with a gate, the layer, the module that forms it, and how to take it.

    Args:
        modules: Every module of a model, by its path.
    """
    for path, layer in modules.items():
        found = next((_GATES[name] for name in class_names(layer) if name in _GATES), None)
        if found is not None:
            inside = getattr(layer, found.inside, None) if found.inside else layer
            if isinstance(inside, nn.Module) and not isinstance(inside, nn.Identity):
                yield path, layer, inside, found
