"""Where a network looks, as one box an image: the largest region of a heat map above a threshold.

Formula H = max_c |f_c|, or mean_c |f_c|, or sqrt(sum_c f_c^2) / C; M = (scaled(resize(H)) > tau); box = the
        tight box of the largest connected component of M
Paper   Guan, Huang, Zhong, Zheng, Zheng, Yang. Diagnose like a Radiologist: Attention Guided Convolutional
        Neural Network for Thorax Disease Classification. 2018. arXiv:1801.09927, section 3.2.
Shapes  features (B, C, h, w) -> heat (B, 1, h, w) -> masks (B, H, W) -> boxes (B, 4) -> crops (B, C, H, W)
Cost    no parameters; components are found on the CPU.
Differs the paper does not say what its threshold of 0.7 is a share of: here of the range of each image's map,
        or of its maximum. A map without a region above the threshold, or a constant one, attends to the whole
        image.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.errors import OptionError, ShapeError
from foveate.mechanisms.base import MapTap
from foveate.options import one_of

Statistic = Literal["max", "mean", "l2"]
Scaling = Literal["range", "max"]
THRESHOLD = 0.7


def heat_map(features: Float[Tensor, "b c h w"], statistic: Statistic = "max") -> Float[Tensor, "b 1 h w"]:
    """Return how strongly a network responds at every position, at least 0.

    Args:
        features: Its features there.
        statistic: Over the channels: ``"max"`` the greatest size, ``"mean"`` the mean size (the paper's L1),
            ``"l2"`` the root of the sum of squares over the number of channels (its L2).

    Raises:
        OptionError: ``statistic`` is none of these.

    Example:
        >>> heat_map(torch.tensor([[[[1.0]], [[-3.0]]]]), "mean").item()
        2.0
    """
    one_of("statistic", statistic, get_args(Statistic))
    if statistic == "max":
        return features.abs().amax(dim=1, keepdim=True)
    if statistic == "mean":
        return features.abs().mean(dim=1, keepdim=True)
    return features.square().sum(dim=1, keepdim=True).sqrt() / features.shape[1]


def cam_to_mask(
    heat: Float[Tensor, "b 1 h w"],
    tau: float = THRESHOLD,
    *,
    size: tuple[int, int] | None = None,
    scaling: Scaling = "range",
) -> UInt8[Tensor, "b i j"]:
    """Return the region that a heat map, such as a class activation map, points at: a weak segmentation.

    Args:
        heat: One map an image.
        tau: The region is what lies above it, in [0, 1).
        size: Height and width of the mask in pixels, to which the map is first resized by linear
            interpolation; its own if None.
        scaling: What ``tau`` is a share of: ``"range"``, from the map's least to its greatest value, or
            ``"max"``, from 0 to its greatest value.

    Returns:
        1 inside and 0 outside; 1 everywhere for a constant map, which points at nothing in particular.

    Raises:
        OptionError: ``tau`` or ``scaling`` is impossible.
        ShapeError: ``heat`` is not a map of one channel.

    Example:
        >>> cam_to_mask(torch.tensor([[[[0.0, 7.0, 8.0, 10.0]]]]))
        tensor([[[0, 0, 1, 1]]], dtype=torch.uint8)
    """
    check_threshold(tau, scaling)
    if heat.ndim != 4 or heat.shape[1] != 1:
        raise ShapeError(
            f"cam_to_mask: got a tensor of shape {tuple(heat.shape)}, expected heat maps (B, 1, h, w). "
            "Pass a map without channels as heat[:, None]."
        )
    heat = heat.detach().float()
    constant = heat.amax(dim=(2, 3), keepdim=True) == heat.amin(dim=(2, 3), keepdim=True)  # resizing rounds
    if size is not None and tuple(heat.shape[2:]) != tuple(size):
        heat = F.interpolate(heat, size=size, mode="bilinear", align_corners=False)
    most, least = heat.amax(dim=(2, 3), keepdim=True), heat.amin(dim=(2, 3), keepdim=True)
    low = least if scaling == "range" else torch.zeros_like(least)
    inside = heat - low > tau * (most - low)
    return (inside | constant)[:, 0].to(torch.uint8)


def check_threshold(tau: float, scaling: str) -> None:
    """Raise an OptionError unless the two can make a mask."""
    if isinstance(tau, bool) or not isinstance(tau, (int, float)) or not 0 <= tau < 1:
        raise OptionError(f"threshold: got {tau!r}, expected a share in [0, 1)")
    one_of("scaling", scaling, get_args(Scaling))


def largest_boxes(masks: UInt8[Tensor, "b h w"], connectivity: int = 8) -> Int64[Tensor, "b 4"]:
    """Return the tight box around the largest connected component of each mask.

    Among components of equal size, the first in reading order counts. Without any, the box is the whole
    image.

    Args:
        masks: Nonzero inside.
        connectivity: 8: pixels that share a corner are connected; 4: only those that share a side.

    Returns:
        The first column, first row, last column and last row, all inclusive.

    Example:
        >>> largest_boxes(torch.tensor([[[1, 0, 0], [0, 0, 1], [0, 0, 1]]], dtype=torch.uint8)).tolist()
        [[2, 1, 2, 2]]
    """
    if connectivity not in (4, 8):
        raise OptionError(f"connectivity: got {connectivity!r}, expected 4 or 8")
    boxes = [_largest(mask, connectivity) for mask in masks.cpu().numpy()]
    return torch.tensor(boxes, dtype=torch.int64, device=masks.device).reshape(-1, 4)


def _largest(mask: UInt8[np.ndarray, "h w"], connectivity: int) -> tuple[int, int, int, int]:
    components, count = ndimage.label(mask, structure=np.ones((3, 3)) if connectivity == 8 else None)
    if count == 0:
        return 0, 0, mask.shape[1] - 1, mask.shape[0] - 1
    # The numbers rise in reading order, and of equal sizes argmax takes the first.
    number = int(np.bincount(components.ravel())[1:].argmax())
    rows, columns = ndimage.find_objects(components)[number]
    return columns.start, rows.start, columns.stop - 1, rows.stop - 1


def crops(images: Float[Tensor, "b c h w"], boxes: Int64[Tensor, "b 4"]) -> Float[Tensor, "b c h w"]:
    """Return what is inside each image's box, at the size of the image, by linear interpolation.

    Args:
        images: Of any kind.
        boxes: As ``largest_boxes`` gives them.

    Example:
        >>> crops(torch.arange(9.0).reshape(1, 1, 3, 3), torch.tensor([[1, 1, 1, 1]])).unique()
        tensor([4.])
    """
    size = images.shape[2:]
    cut = [
        image[None, :, top : bottom + 1, left : right + 1]
        for image, (left, top, right, bottom) in zip(images, boxes.tolist(), strict=True)
    ]
    return torch.cat([F.interpolate(each, size=size, mode="bilinear", align_corners=False) for each in cut])


class AttendedBox(nn.Module):
    """One box an image, where its heat map is high; the box is a constant to the gradient.

    Args:
        threshold: What the map has to exceed, in [0, 1).
        connectivity: 8 or 4: whether pixels that share only a corner are connected.
        scaling: What the threshold is a share of: ``"range"`` or ``"max"``, see ``cam_to_mask``.

    Raises:
        OptionError: An option is out of range.

    Example:
        >>> heat = torch.zeros(1, 1, 7, 7)
        >>> heat[0, 0, 2:4, 5] = 1.0
        >>> AttendedBox()(heat, (7, 7)).tolist()
        [[5, 2, 5, 3]]
    """

    def __init__(
        self, *, threshold: float = THRESHOLD, connectivity: int = 8, scaling: Scaling = "range"
    ) -> None:
        super().__init__()
        check_threshold(threshold, scaling)
        if connectivity not in (4, 8):
            raise OptionError(f"connectivity: got {connectivity!r}, expected 4 or 8")
        self.threshold, self.connectivity, self.scaling = threshold, connectivity, scaling
        self.heat = MapTap("b 1 h w", high=float("inf"))
        self.box = MapTap("b 4", high=float("inf"))  # first column, first row, last column, last row

    def forward(self, heat: Float[Tensor, "b 1 h w"], size: tuple[int, int]) -> Int64[Tensor, "b 4"]:
        """Return the boxes, in pixels of images of this height and width."""
        heat = self.heat(heat.detach())
        masks = cam_to_mask(heat, self.threshold, size=size, scaling=self.scaling)
        return self.box(largest_boxes(masks, self.connectivity))
