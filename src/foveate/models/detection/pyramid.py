"""A feature pyramid on any encoder: what a detector of torchvision takes as its backbone.

Formula q_l = 1x1(c_l) + up(q_{l+1}), p_l = 3x3(q_l), of the coarsest levels of the encoder; then one or two
        coarser maps.
Paper   Lin, Dollár, Girshick, He, Hariharan, Belongie. Feature Pyramid Networks for Object Detection. CVPR
        2017. arXiv:1612.03144, section 3.
Shapes  images (B, 3, H, W) -> maps (B, width, ceil(H / stride), ceil(W / stride)), by name, the finest first.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from foveate.models.encoders.build_encoder import build_encoder
from foveate.options import whole

WIDTH = 256  # channels of every map in the paper; an encoder that ends in fewer has fewer
FINEST = 4  # stride of the finest map that is used: finer ones take most of the time
_GROUPS = 32  # that the heads normalise: the width is a multiple


class Pyramid(nn.Module):
    """An encoder with a pyramid on its coarsest maps.

    Args:
        encoder: Its name; see ``build_encoder``.
        levels: How many maps of the encoder are used, at most; none is finer than stride 4.
        width: Channels of every map; 256, or the encoder's last if that is fewer, if None.
        pooled: Whether one more map is pooled from the coarsest, as in Faster R-CNN; else two are convolved.
        pretrained: Whether the encoder starts from its published weights.
        options: The encoder's.

    Attributes:
        out_channels: ``width``, under the name by which torchvision asks for it.
        strides: Pixels of the image per position of each map.
        names: Of the encoder's levels.
    """

    def __init__(
        self,
        encoder: str,
        *,
        levels: int,
        width: int | None,
        pooled: bool,
        pretrained: bool,
        **options: Any,
    ) -> None:
        super().__init__()
        self.encoder = build_encoder(encoder, pretrained=pretrained, **options)
        used = min(levels, sum(stride >= FINEST for stride in self.encoder.strides))
        self.encoder.wanted = used
        channels = list(self.encoder.channels[-used:])
        usual = min(WIDTH, -(-channels[-1] // _GROUPS) * _GROUPS)
        self.out_channels = out = usual if width is None else whole("width", width)
        last = LastLevelMaxPool() if pooled else LastLevelP6P7(out, out)
        self.fpn = FeaturePyramidNetwork(channels, out, extra_blocks=last)
        own = tuple(self.encoder.strides[-used:])
        self.names = [str(number) for number in range(used)]
        self.strides = (*own, *(own[-1] * 2**more for more in range(1, 2 if pooled else 3)))

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> OrderedDict[str, Tensor]:
        """Return the maps by name."""
        maps = self.encoder(images)
        found: OrderedDict[str, Tensor] = self.fpn(OrderedDict(zip(self.names, maps, strict=True)))
        return found
