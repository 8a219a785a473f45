"""The last map of a classifier: what it pools before it decides, as captioners read it.

It may be frozen: then nothing in it changes in training, the running statistics of its normalisation
included, and dropout is off. Or a part of it learns with the rest.
"""

from __future__ import annotations

import fnmatch
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError, first_few, in_one_line
from foveate.models.create import create_model
from foveate.models.encoders.mobilenet_v2 import MobileNetV2Encoder
from foveate.models.names import resolve
from foveate.models.normalisation import keep_normalisation, model_normalisation
from foveate.trust import may_download

_TRIAL = (3, 64, 64)  # an image that networks take which do not state their size
NOTHING, EVERYTHING = "none", "all"


class LastMap(nn.Module):
    """A classifier without what comes after its last map.

    Args:
        network: A model of timm, whose ``forward_features`` gives the map or tokens; one of torchvision or
            foveate's own, as ``build_encoder`` takes them; or any that has ``forward_features``. Its layers
            are taken out of it.
        trainable: What learns: "none", "all", or a pattern of paths of modules, such as ``layer[234]``.

    Attributes:
        channels: Of the map.

    Raises:
        OptionError: It has no such map, or the pattern names nothing.

    Example:
        >>> import torchvision
        >>> LastMap(torchvision.models.resnet18())(torch.rand(2, 3, 64, 96)).shape
        torch.Size([2, 512, 2, 3])
    """

    def __init__(self, network: nn.Module, *, trainable: str = NOTHING) -> None:
        super().__init__()
        keep_normalisation(self, *model_normalisation(network))
        self.of_timm = hasattr(network, "forward_features")
        self.network: Any = network if self.of_timm else _encoder(network)
        self.image = _image(network)
        self.channels = self._tried()
        self.trainable = trainable
        self._let_learn(trainable)
        self.train(self.training)

    def forward(self, images: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b c h w"]:
        """Return the map; of a vision transformer, its tokens laid out, without class and register tokens."""
        if not self.of_timm:
            return cast(Tensor, self.network(images)[-1])
        x: Tensor = self.network.forward_features(images)
        if x.ndim == 4:
            return x.permute(0, 3, 1, 2) if getattr(self.network, "output_fmt", "NCHW") == "NHWC" else x
        tokens = x[:, getattr(self.network, "num_prefix_tokens", 0) :]
        height, width = images.shape[2:]
        rows = round((tokens.shape[1] * height / width) ** 0.5)
        return tokens.transpose(1, 2).unflatten(2, (rows, tokens.shape[1] // rows))

    def train(self, mode: bool = True) -> LastMap:
        """Set training mode in what learns; what is frozen stays as it is at inference."""
        super().train(mode)
        for module in self.network.modules() if mode else ():
            held = list(module.parameters())
            if held and not any(parameter.requires_grad for parameter in held):
                module.eval()
        return self

    def _let_learn(self, trainable: str) -> None:
        """Freeze all weights but those that the pattern names."""
        everything = trainable == EVERYTHING
        for parameter in self.network.parameters():
            parameter.requires_grad_(everything)
        if trainable in (NOTHING, EVERYTHING):
            return
        found = [m for path, m in self.network.named_modules() if path and fnmatch.fnmatch(path, trainable)]
        if not found:
            parts = first_few([path for path, _ in self.network.named_children()], 12)
            raise OptionError(
                f"trainable: got {trainable!r}, which names no part of the encoder. Its parts: {parts}; or "
                '"none" or "all"'
            )
        for module in found:
            module.requires_grad_(True)

    def _tried(self) -> int:
        """Return the map's channels by running an image, and leave out the layers that did not run."""
        ran: set[nn.Module] = set()
        hooks = [m.register_forward_pre_hook(lambda m, _: ran.add(m)) for m in self.network.modules()]
        self.network.eval()
        try:
            with torch.no_grad():
                first = next(self.parameters())
                y = self(torch.zeros(1, *self.image, device=first.device, dtype=first.dtype))
        except Exception as error:
            raise OptionError(
                f"encoder: {type(self.network).__name__} cannot run on an image of {self.image} "
                f"({in_one_line(error)})"
            ) from error
        finally:
            for hook in hooks:
                hook.remove()
        for name, child in self.network.named_children() if self.of_timm else ():
            if not any(module in ran for module in child.modules()):
                setattr(self.network, name, nn.Identity())  # the head
        return y.shape[1]


def build_last_map(name: str, *, pretrained: bool = True, trainable: str = NOTHING) -> LastMap:
    """Return the last map of a classifier by name.

    Args:
        name: What ``create_model`` takes: ``timm/NAME``, a residual network or chain of layers of
            torchvision, or ``package.module:function``, which brings its own weights. Options may follow.
        pretrained: Fetch the published weights.
        trainable: As of ``LastMap``.

    Raises:
        UnknownNameError: There is no such network.
        OptionError: It has no last map, or an option is wrong.
        CheckpointError: The weights cannot be fetched.
    """
    fetch = pretrained and may_download() and resolve(name)[0] in ("timm", "torchvision")
    return LastMap(create_model(name, classes=1000, pretrained=fetch), trainable=trainable)


def as_memory(maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n c"]:
    """Return a map as a memory: one entry a place, row by row."""
    return maps.flatten(2).transpose(1, 2)


def _image(network: nn.Module) -> tuple[int, ...]:
    """Return the shape of an image that the network takes."""
    built_for = getattr(getattr(network, "patch_embed", None), "img_size", None)
    stated = (getattr(network, "pretrained_cfg", None) or {}).get("input_size")
    return (3, *built_for) if built_for else tuple(stated or _TRIAL)


def _encoder(network: nn.Module) -> nn.Module:
    from foveate.models.encoders.build_encoder import encoder_class  # which imports all classifiers

    kind = encoder_class(network)
    try:
        encoder = kind(network, widen=True) if kind is MobileNetV2Encoder else kind(network)
    except (OptionError, AttributeError) as error:
        raise OptionError(
            f"encoder: {type(network).__name__} has no known last map. Give it a method "
            "forward_features(images) that returns its map (B, C, H, W)."
        ) from error
    encoder.wanted = 1
    return encoder
