"""Pyramid attention network: a pyramid weighs the last map, and each coarse map asks what to take of a finer.

Formula y = up(GAU(f1, GAU(f2, GAU(f3, FPA(f4))))), logits = 3x3(y); FPA as in
        mechanisms/spatial/feature_pyramid.py, GAU as in mechanisms/query/global_upsample.py
Paper   Li, Xiong, An, Wang. Pyramid Attention Network for Semantic Segmentation. BMVC 2018. arXiv:1805.10180.
Shapes  images (B, C, H, W) -> logits (B, classes, H, W).
Cost    24,265,596 and 43,257,724 parameters for ResNet-50 and -101 and 21 classes.
Differs none from segmentation-models-pytorch, whose names of weights load, except that images of any
        size go in. The paper's own code is not public.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.facets import Cost
from foveate.mechanisms.kernels.memory_layout import like_input
from foveate.mechanisms.query.global_upsample import GlobalAttentionUpsample
from foveate.mechanisms.spatial.feature_pyramid import FeaturePyramidAttention
from foveate.models.encoders.build_encoder import build_encoder
from foveate.models.names import models
from foveate.models.segmentation.segmenter import Segmenter
from foveate.models.weight_names import Rules, renamed
from foveate.options import whole

_CONV_NORM = ((r"^(pyramid\..*|gates\..*)\.conv\.", r"\1.0."), (r"^(pyramid\..*|gates\..*)\.bn\.", r"\1.1."))
_RULES: Rules = (
    (r"^decoder\.fpa\.branch1\.1\.", "pyramid.overall."),
    (r"^decoder\.fpa\.mid\.0\.", "pyramid.values."),
    (r"^decoder\.fpa\.down1\.1\.", "pyramid.to_half."),
    (r"^decoder\.fpa\.down2\.1\.", "pyramid.to_quarter."),
    (r"^decoder\.fpa\.down3\.1\.", "pyramid.to_eighth.0."),
    (r"^decoder\.fpa\.down3\.2\.", "pyramid.to_eighth.1."),
    (r"^decoder\.fpa\.conv2\.", "pyramid.from_quarter."),
    (r"^decoder\.fpa\.conv1\.", "pyramid.from_half."),
    (r"^decoder\.gau3\.", "gates.0."),
    (r"^decoder\.gau2\.", "gates.1."),
    (r"^decoder\.gau1\.", "gates.2."),
    (r"^(gates\.\d)\.conv1\.1\.", r"\1.weigh."),
    (r"^(gates\.\d)\.conv2\.", r"\1.see."),
    (r"^segmentation_head\.0\.", "head."),
    *_CONV_NORM,
)


class PyramidTo(FeaturePyramidAttention):
    """Feature pyramid attention that stays at its inner width.

    Args:
        channels: Channels of the map.
        width: Channels of the result.
    """

    def __init__(self, channels: int, *, width: int = 32) -> None:
        super().__init__(channels, width=width)
        self.expand = nn.Identity()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b r h w"]:
        """Return the weighed map at the inner width."""
        return like_input(self.weighed(x), x)

    def cost(self, height: int, width: int) -> Cost:
        """Return what the block costs without the layer that leads back to the map's channels."""
        c, r = self.channels, self.width
        back = Cost(0, 0, 0) if r == c else Cost(r * c + c, r * c * height * width, 4 * (r * c + c))
        return super().cost(height, width) - back


@models.register("pan")
class PAN(Segmenter):
    """Feature pyramid attention on the last map, then a global attention upsample for every finer one.

    Args:
        classes: Channels of the output.
        encoder: See ``build_encoder``.
        in_channels: Channels of the images.
        output_stride: Stride of the last map: 16 (paper) or 32.
        pretrained_encoder: Fetch the weights of the published classifier.
        width: Channels of the decoder.
        options: The encoder's; ``dilate_first`` is True unless they say otherwise.

    Example:
        >>> import torch
        >>> PAN(classes=5, encoder="resnet18").eval()(torch.rand(1, 3, 33, 47)).shape
        torch.Size([1, 5, 33, 47])
    """

    align_corners = True

    def __init__(
        self,
        *,
        classes: int,
        encoder: str = "resnet50",
        in_channels: int = 3,
        output_stride: int = 16,
        pretrained_encoder: bool = False,
        width: int = 32,
        **options: Any,
    ) -> None:
        super().__init__(classes, in_channels)
        if not encoder.startswith(("timm/", "xception")):
            options = {"dilate_first": True, **options}
        self.encoder = build_encoder(
            encoder,
            in_channels=in_channels,
            output_stride=output_stride,
            pretrained=pretrained_encoder,
            **options,
        )
        channels = self.encoder.channels
        self.pyramid = PyramidTo(channels[-1], width=whole("width", width))
        inner = self.pyramid.width
        finer = [c for c, s in zip(channels, self.encoder.strides, strict=True) if s >= 4][:-1]
        self.encoder.wanted = len(finer) + 1
        self.gates = nn.ModuleList(GlobalAttentionUpsample(c, gating=inner) for c in reversed(finer))
        self.head = nn.Conv2d(inner, classes, 3, padding=1)

    def heads(self, x: Float[Tensor, "b c h w"]) -> dict[str, Float[Tensor, "b q _ _"]]:
        """Return the logits at stride 4."""
        maps = self.encoder(x)
        y = self.pyramid(maps[-1])
        for gate, finer in zip(self.gates, maps[-2::-1], strict=False):
            y = gate(finer, y)
        return {"out": self.head(y)}

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights of segmentation-models-pytorch under the names that this network has."""
        return renamed(state, _RULES, self.state_dict())
