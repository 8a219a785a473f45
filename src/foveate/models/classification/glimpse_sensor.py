"""The glimpse sensor: a few small windows of a picture around a place, the wider ones coarser.

Formula g = relu(W_g relu(W_r rho(x, l)) + W_p relu(W_l l)), rho(x, l): square windows of sides g, g*s,
        g*s^2, ... around l, each averaged to g x g
Paper   Mnih, Heess, Graves, Kavukcuoglu. Recurrent Models of Visual Attention. NeurIPS 2014.
        arXiv:1406.6247, section 3.1.
Shapes  images (B, C, H, W), places (B, 2) -> (B, width)
Cost    with R = scales*C*size^2: parameters (R + 1)*look_width + 3*place_width + (look_width + place_width
        + 2)*width, MACs the same without the biases; neither depends on H and W.
Differs none. Where the windows begin and how they shrink, which the paper leaves open, is as in the
        best-known public code (kevinzakka/recurrent-visual-attention).
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from foveate.options import whole


class GlimpseSensor(nn.Module):
    """What a glimpse shows, together with where it is, as one vector.

    Args:
        channels: C of the pictures.
        size: Side of the finest window in pixels.
        scales: How many windows lie around each other.
        growth: How many times larger each is than the one before.
        look_width: Width of the layer on the pixels.
        place_width: Width of the layer on the place.
        width: Length of the result.

    Raises:
        OptionError: A number is not positive and whole.

    Example:
        >>> GlimpseSensor(1, width=256)(torch.rand(2, 1, 28, 28), torch.zeros(2, 2)).shape
        torch.Size([2, 256])
    """

    def __init__(
        self,
        channels: int,
        *,
        size: int = 8,
        scales: int = 1,
        growth: int = 2,
        look_width: int = 128,
        place_width: int = 128,
        width: int = 256,
    ) -> None:
        super().__init__()
        self.size, self.scales = whole("glimpse_size", size), whole("scales", scales)
        self.growth = whole("growth", growth)
        pixels = self.scales * channels * self.size**2
        self.look = nn.Linear(pixels, whole("look_width", look_width))
        self.place = nn.Linear(2, whole("place_width", place_width))
        self.from_look = nn.Linear(look_width, whole("hidden", width))
        self.from_place = nn.Linear(place_width, width)

    def forward(
        self, images: Float[Tensor, "b c h w"], places: Float[Tensor, "b 2"]
    ) -> Float[Tensor, "b width"]:
        """Return one vector a picture."""
        seen = windows(images, places, size=self.size, scales=self.scales, growth=self.growth)
        look = self.look(seen.flatten(1)).relu()
        place = self.place(places.to(images.dtype)).relu()
        vector: Tensor = (self.from_look(look) + self.from_place(place)).relu()
        return vector


def windows(
    images: Float[Tensor, "b c h w"], places: Float[Tensor, "b 2"], *, size: int, scales: int, growth: int
) -> Float[Tensor, "b k c size size"]:
    """Return the windows around a place of each picture, the finest first; 0 outside of the picture.

    Args:
        images: The pictures.
        places: (x, y) of each, x along the width: -1 is the left or upper edge, 1 the right or lower one.
        size: Side of each window in the result, and of the finest one in pixels.
        scales: How many windows.
        growth: How many times larger each is than the one before; it is averaged to the same size.

    Example:
        >>> image, middle = torch.arange(16.0).view(1, 1, 4, 4), torch.zeros(1, 2)
        >>> windows(image, middle, size=2, scales=2, growth=2)[0, :, 0].round(decimals=3).tolist()
        [[[5.0, 6.0], [9.0, 10.0]], [[2.5, 4.5], [10.5, 12.5]]]
    """
    found = []
    for number in range(scales):
        factor = growth**number
        patch = _cut(images, *corners(places, images.shape[2], images.shape[3], size * factor), size * factor)
        found.append(avg_pool2d(patch, factor) if factor > 1 else patch)
    return torch.stack(found, dim=1)


def corners(
    places: Float[Tensor, "*b 2"], height: int, width: int, side: int
) -> tuple[Int64[Tensor, "*b"], Int64[Tensor, "*b"]]:
    """Return the first row and the first column of the window of a side around each place.

    Example:
        >>> corners(torch.tensor([[-1.0, 0.0]]), 28, 28, 8)
        (tensor([10]), tensor([-4]))
    """
    share = (places + 1) / 2
    row, column = (share[..., 1] * height).floor().long(), (share[..., 0] * width).floor().long()
    return row - side // 2, column - side // 2


def _cut(
    images: Float[Tensor, "b c h w"], top: Int64[Tensor, " b"], left: Int64[Tensor, " b"], side: int
) -> Float[Tensor, "b c side side"]:
    steps = torch.arange(side, device=images.device)
    (rows, row_inside), (columns, column_inside) = (
        _within(first[:, None] + steps, length)
        for first, length in ((top, images.shape[2]), (left, images.shape[3]))
    )
    batch = torch.arange(images.shape[0], device=images.device)[:, None, None]
    patch = images.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None]]  # (B, side, side, C)
    inside = (row_inside[:, :, None] & column_inside[:, None]).unsqueeze(3)
    return torch.where(inside, patch, 0.0).permute(0, 3, 1, 2)


def _within(index: Int64[Tensor, "b side"], length: int) -> tuple[Tensor, Tensor]:
    """Return indices that can be read, and which of them were inside."""
    kept = index.clamp(min=0).clamp(max=length - 1)
    return kept, kept == index
