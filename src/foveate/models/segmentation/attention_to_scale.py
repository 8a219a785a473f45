"""Attention to scale: the image at several sizes through one network, weighed against each other by position.

Formula f_s, z_s = scores and features of the image at scale s; a = softmax_s(W2 relu(conv3x3([z_1; ...;
        z_S]))); y = sum_s a_s * f_s, everything resized to the largest scale
Paper   Chen, Yang, Wang, Xu, Yuille. Attention to Scale: Scale-Aware Semantic Image Segmentation. CVPR 2016.
        arXiv:1511.03339, section 3.
Shapes  images (B, C, H, W) -> logits (B, classes, H, W); map (B, S, h, w), which sums to 1 over the S scales.
Cost    the attention has 9*S*F*512 + 512 + 512*S + S parameters, F = width; every scale adds its share of the
        network's MACs, and no parameters.
Differs any encoder takes the place of VGG-16; the layers after it are DeepLab-LargeFOV's. Without the dropout
        inside the attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.mechanisms.branch.scale_attention import ScaleAttention
from foveate.models.encoders.build_encoder import build_encoder
from foveate.models.names import models
from foveate.models.segmentation.segmenter import Segmenter, resized
from foveate.options import whole


@models.register("attention_to_scale")
class AttentionToScale(Segmenter):
    """One network at several image sizes, and weights for them at every position.

    While training the output is a dict of ``"out"`` and, unless ``side=False``, ``"aux_1"``, ``"aux_2"``
    and so on: the scores of each scale in the order of ``scales``. The authors weigh all by 1.

    Args:
        classes: Channels of the output.
        encoder: See ``build_encoder``.
        in_channels: Channels of the images.
        output_stride: Stride of the encoder's last map. Paper: 8.
        pretrained_encoder: Fetch the weights of the published classifier.
        scales: Sizes of the image, each as a share of it in (0, 4]. Paper: (1, 0.75, 0.5) or (1, 0.5).
        kind: ``"attention"``; or the baselines that the paper compares with, ``"mean"`` and ``"max"``.
        width: Channels of the features. Paper: 1024.
        dilation: Of the 3 x 3 convolution to the features. LargeFOV: 12.
        hidden: Channels inside the attention. Paper: 512.
        dropout: Share of the features dropped after each of the two layers. LargeFOV: 0.5.
        side: Whether the scales' own scores come out while training.
        options: The encoder's.

    Raises:
        OptionError: An option is out of range.

    Example:
        >>> import torch
        >>> model = AttentionToScale(classes=5, encoder="resnet18", width=32, hidden=16).eval()
        >>> model(torch.rand(1, 3, 33, 47)).shape
        torch.Size([1, 5, 33, 47])
    """

    align_corners = True

    def __init__(
        self,
        *,
        classes: int,
        encoder: str = "resnet50",
        in_channels: int = 3,
        output_stride: int = 8,
        pretrained_encoder: bool = False,
        scales: Sequence[float] = (1.0, 0.75, 0.5),
        kind: Literal["attention", "mean", "max"] = "attention",
        width: int = 1024,
        dilation: int = 12,
        hidden: int = 512,
        dropout: float = 0.5,
        side: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(classes, in_channels)
        if not scales or any(not 0 < scale <= 4 for scale in scales):
            raise OptionError(
                f"scales: got {scales!r}, expected numbers above 0 and up to 4, such as (1, 0.5)"
            )
        if not 0 <= dropout < 1:
            raise OptionError(f"dropout: got {dropout!r}, expected a number in [0, 1)")
        self.scales = tuple(float(scale) for scale in scales)
        self.encoder = build_encoder(
            encoder,
            in_channels=in_channels,
            output_stride=output_stride,
            pretrained=pretrained_encoder,
            **options,
        )
        self.encoder.wanted = 1
        last, reach = self.encoder.channels[-1], whole("dilation", dilation)
        self.features = nn.Sequential(
            nn.Conv2d(last, whole("width", width), kernel_size=3, padding=reach, dilation=reach),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Conv2d(width, width, kernel_size=1),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
        )
        self.scores = nn.Conv2d(width, classes, kernel_size=1)
        self.attention = ScaleAttention(width, maps=len(self.scales), hidden=hidden, kind=kind)
        self.mixed = nn.Identity()  # where the scores of all scales have become one map
        self.aux = tuple(f"aux_{number}" for number in range(1, len(scales) + 1)) if side else ()

    def heads(self, x: Float[Tensor, "b c h w"]) -> dict[str, Tensor]:
        """Return the weighed logits and, while training, those of each scale."""
        features = [self.features(self.encoder(self._scaled(x, scale))[-1]) for scale in self.scales]
        scores = [self.scores(each) for each in features]
        finest = features[self.scales.index(max(self.scales))]
        out = self.attention.mixed(
            [resized(each, finest, align_corners=True) for each in scores],
            [resized(each, finest, align_corners=True) for each in features],
        )
        return {
            "out": self.mixed(out),
            **(dict(zip(self.aux, scores, strict=False)) if self.training else {}),
        }

    @staticmethod
    def _scaled(x: Tensor, scale: float) -> Tensor:
        """Return the images at a share of their size, of at least one pixel."""
        if scale == 1:
            return x
        size: Any = [torch.sym_max(1, torch.sym_int(side * scale + 0.5)) for side in x.shape[2:]]
        return nn.functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
