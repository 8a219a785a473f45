"""Convolutions together with the change of size beside them, in one step.

Copying each pixel to 2x2 and then convolving by a kernel of 3x3 is a transposed convolution of stride 2 by a
kernel of 4x4; convolving and then taking the mean of 2x2 is a convolution of stride 2 by a kernel of 4x4.
Both kernels are sums of the shifted kernel of 3x3.

Formula K = sum over a, b in {0, 1} of the kernel shifted by (a, b); a quarter of it for the mean
Paper   Karras, Laine, Aittala, Hellsten, Lehtinen, Aila. Analyzing and Improving the Image Quality of
        StyleGAN. CVPR 2020. arXiv:1912.04958 (their code fuses both); the identity is older.
Shapes  (B, C, H, W) -> (B, O, 2H, 2W), or (B, O, H/2, W/2) for even H and W.
Cost    4/9 of the multiply-adds of the two steps; the map between them is never formed.
Differs none: the results are those of the two steps up to rounding.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from foveate.models.generation.spectral_norm import SpectralConv2d


class _Resizing(SpectralConv2d):
    """A convolution by 3x3 whose kernel is summed over its shifts before it is used.

    Args:
        channels: C.
        out: O.
        rule: Of spectral normalisation.
    """

    def __init__(self, channels: int, out: int, *, rule: str, shifts: Float[Tensor, "9 16"]) -> None:
        super().__init__(channels, out, 3, rule=rule, padding=1)
        self.register_buffer("shifts", shifts, persistent=False)

    def shifted(self) -> Float[Tensor, "o c 4 4"]:
        """Return the kernel of 4x4."""
        summed = self.normal_weight().flatten(2) @ self.get_buffer("shifts")
        return summed.unflatten(2, (4, 4))


class DoublingConv2d(_Resizing):
    """Double the sides of a map by copying its pixels, then convolve by 3x3."""

    def __init__(self, channels: int, out: int, *, rule: str) -> None:
        super().__init__(channels, out, rule=rule, shifts=_shifts().flip(1))

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o h2 w2"]:
        """Return a map of twice the side."""
        return F.conv_transpose2d(input, self.shifted().transpose(0, 1), self.bias, stride=2, padding=1)


class HalvingConv2d(_Resizing):
    """Convolve by 3x3, then halve the sides of the map by the mean of 2x2 pixels."""

    def __init__(self, channels: int, out: int, *, rule: str) -> None:
        super().__init__(channels, out, rule=rule, shifts=_shifts() / 4)

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o h2 w2"]:
        """Return a map of half the side."""
        return F.conv2d(input, self.shifted(), self.bias, stride=2, padding=1)


def _shifts() -> Float[Tensor, "9 16"]:
    """Return which entries of a kernel of 3x3 each entry of the kernel of 4x4 sums."""
    along = torch.eye(3, 4) + torch.eye(3, 4).roll(1, dims=1)
    return torch.kron(along, along)
