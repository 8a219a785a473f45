"""Classifiers in which each class attends to the map for itself: an encoder, and a head on its last map."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError, ShapeError
from foveate.mechanisms.interfaces import Label
from foveate.models.create import named_normalisation
from foveate.models.encoders.build_encoder import build_encoder
from foveate.models.encoders.encoder import Encoder
from foveate.models.names import resolve
from foveate.models.normalisation import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Triple,
    keep_normalisation,
    model_normalisation,
)
from foveate.options import whole

POSITIONS = (
    7  # height and width of the last map at the image size that networks of stride 32 are designed for
)


class TokenEncoder(Encoder):
    """A vision transformer of timm, its last tokens laid out as a map, without class and register tokens.

    Args:
        network: From ``timm.create_model``, without a classifier.
        in_channels: Channels of the images.
    """

    def __init__(self, network: Any, *, in_channels: int = 3) -> None:
        super().__init__()
        self.network, self.in_channels = network, in_channels
        self.channels, self.strides = (network.num_features,), (network.patch_embed.patch_size[0],)

    def maps(self, x: Float[Tensor, "b c h w"]) -> Iterator[Float[Tensor, "b _ _ _"]]:
        """Yield the one map."""
        tokens = self.network.forward_features(x)[:, self.network.num_prefix_tokens :]
        rows = x.shape[2] // self.strides[0]
        yield tokens.transpose(1, 2).unflatten(2, (rows, -1))


class LabelNetwork(nn.Module):
    """Images to one logit per class, for a sigmoid where several classes can be present at once.

    Args:
        encoder: Images to maps.
        attention: The last map to logits.
        classes: Length of the output.
    """

    attention: Label

    def __init__(self, encoder: Encoder, attention: Label, classes: int) -> None:
        super().__init__()
        self.encoder, self.attention = encoder, attention
        self.encoder.wanted, self.classes = 1, classes
        size = getattr(getattr(encoder, "network", None), "default_cfg", {}).get("input_size")
        side = size[-1] if isinstance(encoder, TokenEncoder) and size else POSITIONS * encoder.strides[-1]
        self.default_cfg = {"input_size": (encoder.in_channels, max(64, side), max(64, side))}
        keep_normalisation(self, *model_normalisation(encoder))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b q"]:
        """Return logits."""
        channels = self.encoder.in_channels
        if x.ndim != 4 or x.shape[1] != channels or not x.is_floating_point():
            raise ShapeError(
                f"{type(self).__name__}: got {tuple(x.shape)} of {x.dtype}, expected floating point images "
                f"(B, {channels}, H, W). Build it with the in_channels of the images."
            )
        logits: Tensor = self.attention(self.encoder(x)[-1])
        return logits

    @property
    def published_normalisation(self) -> tuple[Triple, Triple] | None:
        """Mean and deviation that the published weights expect of colour images: ImageNet's."""
        return (IMAGENET_MEAN, IMAGENET_STD) if self.encoder.in_channels == 3 else None


def build_backbone(name: str, *, in_channels: int, pretrained: bool, **options: Any) -> Encoder:
    """Return an encoder by name: what ``build_encoder`` builds, or a vision transformer of timm.

    Raises:
        UnknownNameError: There is no such network.
        OptionError: It cannot be an encoder, or an option does not exist.
    """
    whole("in_channels", in_channels)
    source, bare = resolve(name)
    if source != "timm" or not bare.startswith(("vit_", "deit")):
        return build_encoder(name, in_channels=in_channels, pretrained=pretrained, **options)
    import timm

    try:
        network = timm.create_model(
            bare, pretrained=pretrained, num_classes=0, global_pool="", in_chans=in_channels, **options
        )
    except TypeError as error:
        raise OptionError(f"{name} cannot be built with {', '.join(options)}: {error}") from error
    encoder = TokenEncoder(network, in_channels=in_channels)
    keep_normalisation(encoder, *named_normalisation(name))
    return encoder
