"""Residual networks for small images as encoders: maps at full, half and quarter size.

Paper   He, Zhang, Ren, Sun. Deep Residual Learning for Image Recognition. CVPR 2016. arXiv:1512.03385,
        section 4.2.
Shapes  images (B, C, H, W) -> maps of 16, 32 and 64 channels at strides 1, 2 and 4.
Cost    the classifier's without its head: 74,640 parameters for resnet8.
Differs none.
"""

from __future__ import annotations

from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.models.encoders.encoder import Encoder


class SmallResNetEncoder(Encoder):
    """The three stages of foveate's small residual network, under the names that they have there.

    Args:
        network: A ``SmallResNet``. Its blocks are taken out of it.
        output_stride: 32, which keeps the strides: 1, 2 and 4.

    Raises:
        OptionError: ``output_stride`` is another.
    """

    conv1: nn.Conv2d
    bn1: nn.Module
    relu: nn.Module

    def __init__(self, network: nn.Module, *, output_stride: int = 32) -> None:
        super().__init__()
        if output_stride != 32:
            raise OptionError(
                f"output_stride: got {output_stride}, expected 32: a small ResNet ends at stride 4"
            )
        for name, child in network.named_children():
            if name not in ("avgpool", "flatten", "fc"):
                self.add_module(name, child)
        width = self.conv1.out_channels
        self.channels, self.strides, self.in_channels = (width, 2 * width, 4 * width), (1, 2, 4), 3

    def maps(self, x: Float[Tensor, "b c h w"]) -> Iterator[Float[Tensor, "b _ _ _"]]:
        """Yield the maps of the three stages."""
        x = self.relu(self.bn1(self.conv1(x)))
        for number in (1, 2, 3):
            x = getattr(self, f"layer{number}")(x)
            yield x
