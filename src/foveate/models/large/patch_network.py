"""What looks at a patch: any classifier, parted into its features and its head."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from foveate.errors import OptionError, in_one_line
from foveate.models.create import create_model
from foveate.models.names import models, resolve
from foveate.models.outputs import main_output
from foveate.running import eval_no_grad

LARGE = 1500  # side of the pictures that the published selections were made for, in pixels


def build_patch_network(name: str, classes: int, in_channels: int, *, pretrained: bool) -> nn.Module:
    """Return a classifier by name, for pictures of ``in_channels``.

    Raises:
        UnknownNameError: There is no such network.
        OptionError: It cannot be built for this number of channels.
    """
    source, bare = resolve(name)
    word = {"timm": "in_chans"}.get(source)
    if source == "foveate" and "in_channels" in inspect.signature(models[bare]).parameters:
        word = "in_channels"
    if word is None and in_channels != 3:
        raise OptionError(
            f"in_channels: {name} is built for 3 channels, got {in_channels}. Choose a network of timm, or "
            "one of foveate that has the option in_channels."
        )
    options: dict[str, Any] = {} if word is None else {word: in_channels}
    return create_model(name, classes=classes, pretrained=pretrained, **options)


def channels_of(network: nn.Module) -> int:
    """Return how many channels a network takes: those of its first convolution; 3 if it has none."""
    first = next((m for m in network.modules() if isinstance(m, nn.Conv2d)), None)
    return 3 if first is None else first.in_channels


def part(network: nn.Module, channels: int, size: int) -> tuple[nn.Module, nn.Linear | None, int]:
    """Take the head off a classifier, in place.

    The head is its last linear layer, if without it the network returns what that layer takes. Of any other
    network the whole output counts as features.

    Args:
        network: Patches (N, C, size, size) to scores (N, classes).
        channels: C.
        size: Side of the patches.

    Returns:
        The network without its head, the head, and the length of the features.

    Raises:
        OptionError: It cannot run on such patches.
    """
    linear = [(path, m) for path, m in network.named_modules() if isinstance(m, nn.Linear)]
    whole = scores_of(network, channels, size)
    if linear:
        path, head = linear[-1]
        network.set_submodule(path, nn.Identity()) if path else None
        try:
            found = scores_of(network, channels, size) if path else whole
        except OptionError:
            found = whole
        if found.shape[1] == head.in_features and whole.shape[1] == head.out_features:
            return network, head, head.in_features
        if path:
            network.set_submodule(path, head)
    return network, None, whole.shape[1]


def scores_of(network: nn.Module, channels: int, size: int) -> Tensor:
    """Return what a network makes of two patches of zeros.

    Raises:
        OptionError: It cannot run on them, or does not return (N, classes).
    """
    like = next(network.parameters(), torch.zeros(()))
    patches = torch.zeros(2, channels, size, size, device=like.device, dtype=like.dtype)
    try:
        with eval_no_grad(network):
            found = main_output(network(patches))
    except Exception as error:  # whatever a foreign network raises about a size
        raise OptionError(
            f"size: {type(network).__name__} cannot run on patches of {channels} x {size} x {size} "
            f"({in_one_line(error)}). Choose another size."
        ) from error
    if found.ndim != 2:
        raise OptionError(
            f"backbone: {type(network).__name__} returned {tuple(found.shape)} for patches, expected (N, "
            "classes). Choose a classifier."
        )
    return found
