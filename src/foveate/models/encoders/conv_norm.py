"""A convolution and its normalisation, under the names ``conv`` and ``bn``."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class ConvNorm(nn.Module):
    """A convolution that keeps the size for stride 1, normalised, perhaps rectified."""

    def __init__(self, channels: int, width: int, kernel_size: int, *, stride: int = 1, relu: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels, width, kernel_size, stride=stride, padding=kernel_size // 2, bias=False
        )
        self.bn = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True) if relu else nn.Identity()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Return the normalised map."""
        y: Tensor = self.relu(self.bn(self.conv(x)))
        return y
