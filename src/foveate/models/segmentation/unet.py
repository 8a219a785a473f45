"""U-Net: an encoder, and a decoder that joins its maps from the coarsest to the finest.

Formula y = relu(BN(conv3x3(relu(BN(conv3x3([up(y); f_s])))))), from the coarsest map to the finest
Paper   Ronneberger, Fischer, Brox. U-Net: Convolutional Networks for Biomedical Image Segmentation. MICCAI
        2015. arXiv:1505.04597. decoder_attention="scse": Roy, Navab, Wachinger. MICCAI 2018.
        arXiv:1803.02579.
Shapes  images (B, C, H, W) -> logits (B, classes, H, W).
Cost    24,436,514 parameters with ResNet-34 and 2 classes, 24,550,310 with scSE; 34,527,041 with
        encoder=None for 3 channels and 1 class.
Differs with an encoder the network of segmentation-models-pytorch, whose names of weights load, other than
        that images of any size go in and that the finest block has no scSE that nothing passes through (195
        parameters). encoder=None is LeeJunHyun/Image_Segmentation's: padded, with normalisation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.mechanisms.base import build
from foveate.models.classification.resnet_blocks import initialise
from foveate.models.encoders.build_encoder import build_encoder
from foveate.models.names import models
from foveate.models.segmentation.attention_unet import AttentionUNet
from foveate.models.segmentation.blocks import convolve
from foveate.models.segmentation.segmenter import Segmenter
from foveate.models.weight_names import Rules, renamed
from foveate.options import whole

WIDTHS = (256, 128, 64, 32, 16)
_RULES: Rules = (
    (r"^decoder\.blocks\.", "decoder."),
    (r"\.attention([12])\.attention\.cSE\.1\.", r".attention\1.channel.squeeze."),
    (r"\.attention([12])\.attention\.cSE\.3\.", r".attention\1.channel.excite."),
    (r"\.attention([12])\.attention\.sSE\.0\.", r".attention\1.squeeze."),
    (r"^segmentation_head\.0\.", "head."),
)


class UNet(Segmenter):
    """A decoder of pairs of convolutions on the maps of an encoder.

    Args:
        classes: Channels of the output.
        encoder: See ``build_encoder``.
        in_channels: Channels of the images.
        output_stride: Stride of the last map.
        pretrained_encoder: Fetch the weights of the published classifier.
        decoder_attention: A mechanism that maps a map to one of its shape, such as ``"scse"``: on the joined
            maps and on the output of every block. None for the plain network.
        widths: Channels of the decoder's blocks, from the coarsest; one per map of the encoder.
        options: The encoder's.

    Raises:
        UnknownNameError: There is no such mechanism.
        OptionError: An option has an impossible value.

    Example:
        >>> UNet(classes=5, encoder="resnet18").eval()(torch.rand(1, 3, 33, 47)).shape
        torch.Size([1, 5, 33, 47])
    """

    def __init__(
        self,
        *,
        classes: int,
        encoder: str = "resnet34",
        in_channels: int = 3,
        output_stride: int = 32,
        pretrained_encoder: bool = False,
        decoder_attention: str | None = None,
        widths: Sequence[int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(classes, in_channels)
        self.encoder = build_encoder(
            encoder,
            in_channels=in_channels,
            output_stride=output_stride,
            pretrained=pretrained_encoder,
            **options,
        )
        below, *skips = reversed(self.encoder.channels)
        more = max(0, len(skips) + 1 - len(WIDTHS))
        widths = widths or (WIDTHS[0],) * more + WIDTHS[-len(skips) - 1 :]
        if len(widths) != len(skips) + 1:
            raise OptionError(f"widths: got {len(widths)}, expected {len(skips) + 1}, one for each map")
        self.decoder = nn.ModuleList()
        for skip, width in zip((*skips, 0), widths, strict=True):
            self.decoder.append(UpBlock(below, skip, whole("widths", width), decoder_attention))
            below = width
        self.head = nn.Conv2d(below, classes, 3, padding=1)
        initialise(self.decoder)

    def heads(self, x: Float[Tensor, "b c h w"]) -> dict[str, Float[Tensor, "b q h w"]]:
        """Return the logits."""
        maps = self.encoder(x)
        y = maps.pop()
        for block in self.decoder:
            y = block(y, maps.pop() if maps else None, x)
        return {"out": self.head(y)}

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights of segmentation-models-pytorch under the names that this network has."""
        last = rf"^decoder\.{len(self.decoder) - 1}\.attention1\."
        return renamed(state, _RULES, self.state_dict(), spare=last)


class UpBlock(nn.Module):
    """A coarse map at the size of a finer one, joined with it and convolved twice.

    Args:
        channels: Channels of the coarse map.
        skip: Channels of the finer one; 0 without one.
        width: Channels that go out.
        attention: A mechanism's name; None for none.
    """

    def __init__(self, channels: int, skip: int, width: int, attention: str | None) -> None:
        super().__init__()
        self.conv1, self.conv2 = convolve(channels + skip, width), convolve(width, width)
        joined = attention is not None and skip > 0
        self.attention1 = build(attention or "", channels + skip) if joined else nn.Identity()
        self.attention2 = nn.Identity() if attention is None else build(attention, width)

    def forward(self, y: Tensor, skip: Tensor | None, images: Tensor) -> Tensor:
        """Return the map of ``width`` channels, at the size of ``skip`` or of the images."""
        size = (images if skip is None else skip).shape[2:]
        y = nn.functional.interpolate(y, size=size, mode="nearest")
        if skip is not None:
            y = self.attention1(torch.cat([y, skip], dim=1))
        y = self.attention2(self.conv2(self.conv1(y)))
        return y


@models.register("unet")
def unet(*, classes: int, encoder: str | None = "resnet34", **options: Any) -> Segmenter:
    """Return a U-Net on an encoder, or with ``encoder=None`` one of convolutions: ``ConvUNet``."""
    if encoder is not None:
        return UNet(classes=classes, encoder=encoder, **options)
    return AttentionUNet(classes=classes, **{"kind": "additive", "gates": 0, **options})
