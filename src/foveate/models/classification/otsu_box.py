"""Where AG-CNN's published networks (Ien001/AG-CNN) look a second time, and what they see there.

Formula H = sum_c f_c, scaled to grey levels 0 to 255; M = H > Otsu's threshold; box = the tight box of the
        largest connected component of M, without its last row and column; the second look is what the box
        cuts out of the image's middle third enlarged to the whole, the image's numbers read as if its
        colours came last
Paper   Otsu. A Threshold Selection Method from Gray-Level Histograms. IEEE SMC 1979; for the network see
        ``attended_box``.
Shapes  features (B, C, h, w) -> heat (B, 1, h, w) -> boxes (B, 4) -> second looks (B, 3, H, W)
Cost    no parameters; all of it on the CPU.
Differs grey levels of the enlarged heat map are rounded where OpenCV has fixed-point numbers, so that a level
        may be one off. A constant map attends to the whole image, a box of one row or column to that one; the
        published code fails there.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.mechanisms.map_tap import MapTap
from foveate.models.classification.attended_box import largest_boxes
from foveate.models.normalisation import IMAGENET_MEAN, IMAGENET_STD

LEVELS = 256
THIRD = (0.334, 0.667)  # of the image, that is enlarged
MARGIN = 256 / 224  # how much larger than the image the second look is before its borders are cut off


def otsu(grey: UInt8[np.ndarray, "h w"]) -> int:
    """Return the grey level that parts the pixels into two classes as far from each other as can be.

    Example:
        >>> otsu(np.array([[10, 10, 12], [200, 210, 210]], np.uint8))
        12
    """
    counts = np.bincount(grey.ravel(), minlength=LEVELS) / grey.size
    below, moment = counts.cumsum(), (counts * np.arange(LEVELS)).cumsum()
    both = below * (1 - below)
    apart = np.zeros(LEVELS)
    np.divide((moment[-1] * below - moment) ** 2, both, out=apart, where=both > np.finfo(np.float32).eps)
    return int(apart.argmax())


class OtsuBox(nn.Module):
    """One box an image, where the sum of the features over the channels is above Otsu's threshold.

    Example:
        >>> heat = torch.zeros(1, 1, 7, 7)
        >>> heat[0, 0, 2:4, 4:6] = 1.0
        >>> OtsuBox()(heat, (7, 7)).tolist()
        [[4, 2, 4, 2]]
    """

    def __init__(self) -> None:
        super().__init__()
        self.heat = MapTap("b 1 h w", low=float("-inf"), high=float("inf"))
        self.box = MapTap("b 4", high=float("inf"))  # first column, first row, last column, last row

    def forward(self, heat: Float[Tensor, "b 1 h w"], size: tuple[int, int]) -> Int64[Tensor, "b 4"]:
        """Return the boxes, in pixels of images of this height and width."""
        heat = self.heat(heat.detach()).float()
        least = heat.amin(dim=(2, 3), keepdim=True)
        span = heat.amax(dim=(2, 3), keepdim=True) - least
        grey = ((heat - least) / span.clamp_min(1e-12) * (LEVELS - 1)).floor()
        grey = F.interpolate(grey, size=size, mode="bilinear", align_corners=False).round()
        found = [_above(each) for each in grey[:, 0].to(torch.uint8).cpu().numpy()]
        boxes = largest_boxes(torch.from_numpy(np.stack(found))) if found else torch.zeros(0, 4).long()
        boxes[:, 2:] = torch.maximum(boxes[:, 2:] - 1, boxes[:, :2])  # the last row and column are left out
        whole = torch.tensor([0, 0, size[1] - 1, size[0] - 1])
        boxes = torch.where(span.flatten(1).cpu() == 0, whole, boxes)
        return self.box(boxes.to(heat.device))


def _above(grey: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    return (grey > otsu(grey)).astype(np.uint8)


def second_looks(images: Float[Tensor, "b 3 h w"], boxes: Int64[Tensor, "b 4"]) -> Float[Tensor, "b 3 h w"]:
    """Return what the published networks' second branch is shown.

    Args:
        images: Normalised by ImageNet's mean and deviation.
        boxes: As ``OtsuBox`` gives them.
    """
    shown = [
        _look(each, box) for each, box in zip(images.detach().cpu().float(), boxes.tolist(), strict=True)
    ]
    mean, std = (torch.tensor(x)[:, None, None] for x in (IMAGENET_MEAN, IMAGENET_STD))
    looks = torch.stack(shown).float() / (LEVELS - 1) if shown else images.cpu()
    return ((looks - mean) / std).to(images)


def _look(image: Float[Tensor, "3 h w"], box: list[int]) -> UInt8[Tensor, "3 h w"]:
    left, top, right, bottom = box
    height, width = image.shape[1:]
    rows, columns = (slice(int(THIRD[0] * side), max(int(THIRD[1] * side), 1)) for side in (height, width))
    middle = image.reshape(height, width, 3)[rows, columns].permute(2, 0, 1)
    large = F.interpolate(middle[None], size=(height, width), mode="bilinear", align_corners=False)[0]
    cut = (large[:, top : bottom + 1, left : right + 1] * LEVELS).to(torch.int64) % LEVELS  # as uint8 wraps
    picture = Image.fromarray(cut.permute(1, 2, 0).to(torch.uint8).numpy())
    tall, wide = round(MARGIN * height), round(MARGIN * width)
    enlarged = np.asarray(picture.resize((wide, tall), Image.Resampling.BILINEAR))
    first, second = round((tall - height) / 2), round((wide - width) / 2)
    return torch.from_numpy(enlarged[first : first + height, second : second + width].copy()).permute(2, 0, 1)
