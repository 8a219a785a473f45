"""Adaptive zoom: a network segments the whole image, a second one the region where it matters, enlarged.

Formula g = G(x); box = around the largest region of h(g); l = paste(L(crop(x))); a = sigmoid(W [l; g]) inside
        the box and 0 outside; y = a * l + (1 - a) * g
Paper   none: this is foveate's own extension of AG-CNN's second look (Guan et al. 2018. arXiv:1801.09927,
        section 3) from diagnosing to segmenting.
Shapes  images (B, C, H, W) -> logits (B, classes, H, W); heat map (B, 1, H, W), box (B, 4) in pixels; map
        (B, 1, H, W): how much the second look counts at every pixel.
Cost    the network's parameters and MACs twice, and 2 * classes + 1 parameters.
Differs from AG-CNN: the heat map is made of the first network's scores, not of its features; all is trained
        at once, each network by its own loss too. At first the second look has weight 1/2 inside the box.
"""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.errors import OptionError
from foveate.mechanisms.map_tap import MapTap
from foveate.models.classification.attended_box import AttendedBox, Scaling, crops
from foveate.models.create import create_model
from foveate.models.names import models
from foveate.models.normalisation import keep_normalisation, model_normalisation
from foveate.models.segmentation.segmenter import Segmenter
from foveate.options import one_of

Heat = Literal["foreground", "uncertainty"]


def score_heat(logits: Float[Tensor, "b k h w"], kind: Heat = "foreground") -> Float[Tensor, "b 1 h w"]:
    """Return where a segmentation should be looked at again, in [0, 1].

    Args:
        logits: Scores of K classes, or one channel, of the second of two.
        kind: ``"foreground"``: the probability of anything but the first class. ``"uncertainty"``: the
            entropy of the probabilities, as a share of the greatest there can be.

    Raises:
        OptionError: ``kind`` is neither.

    Example:
        >>> score_heat(torch.zeros(1, 4, 1, 1)).item()
        0.75
    """
    one_of("heat", kind, get_args(Heat))
    logits = logits.float()
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
    if kind == "foreground":
        return 1 - logits.softmax(dim=1)[:, :1]
    logs = logits.log_softmax(dim=1)
    return -(logs.exp() * logs).sum(dim=1, keepdim=True) / math.log(logits.shape[1])


def pasted(
    maps: Float[Tensor, "b c h w"], boxes: Int64[Tensor, "b 4"], onto: Float[Tensor, "b c h w"]
) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b 1 h w"]]:
    """Put maps of what is in the boxes back into their places.

    Args:
        maps: One per box, enlarged to the size of the whole.
        boxes: First column, first row, last column, last row, of each.
        onto: What stays outside the boxes.

    Returns:
        The whole, and 1 inside the boxes, 0 outside.
    """
    wholes, inside = [], torch.zeros_like(onto[:, :1])
    for number, (left, top, right, bottom) in enumerate(boxes.tolist()):
        place = (..., slice(top, bottom + 1), slice(left, right + 1))
        size = (bottom + 1 - top, right + 1 - left)
        whole = onto[number].clone()
        whole[place] = F.interpolate(maps[number : number + 1], size=size, mode="bilinear")[0]
        wholes.append(whole)
        inside[number][place] = 1
    return torch.stack(wholes), inside


@models.register("adaptive_zoom")
class AdaptiveZoomSegmenter(Segmenter):
    """A segmentation network, and a second one on the region where the first finds something.

    While training the output is a dict of ``"out"`` and, unless ``side=False``, ``"aux_global"`` and
    ``"aux_local"``: the first network's scores, and the second one's inside the box, around which the first
    one's are returned unchanged, without a gradient.

    Args:
        classes: Channels of the output.
        network: A segmentation network of foveate with one output, for both looks, each with weights of its
            own; options may follow the name, as in ``"fcn(side=False)"``.
        in_channels: Channels of the images.
        pretrained_encoder: Fetch the weights of the published classifier, for both.
        heat: What is looked at again: ``"foreground"`` or ``"uncertainty"``; see ``score_heat``.
        threshold: What the heat has to exceed, as a share of each image's range, in [0, 1).
        scaling: ``"max"`` makes it a share of the image's greatest heat.
        connectivity: 8 or 4: whether pixels that share only a corner are connected.
        side: Whether both networks' own scores come out while training.
        options: The network's, such as ``encoder="resnet18"``.

    Raises:
        UnknownNameError: There is no such network.
        OptionError: It is not a segmentation network, has further outputs, or an option is out of range.

    Example:
        >>> model = AdaptiveZoomSegmenter(classes=2, encoder="resnet18").eval()
        >>> model(torch.rand(1, 3, 33, 47)).shape
        torch.Size([1, 2, 33, 47])
    """

    def __init__(
        self,
        *,
        classes: int,
        network: str = "unet",
        in_channels: int = 3,
        pretrained_encoder: bool = False,
        heat: Heat = "foreground",
        threshold: float = 0.5,
        scaling: Scaling = "range",
        connectivity: int = 8,
        side: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(classes, in_channels)
        one_of("heat", heat, get_args(Heat))
        self.kind: Heat = heat
        if pretrained_encoder:
            options = {**options, "pretrained_encoder": True}
        self.global_net, self.local_net = (_looking(network, classes, in_channels, options) for _ in range(2))
        self.attended = AttendedBox(threshold=threshold, connectivity=connectivity, scaling=scaling)
        self.weigh = nn.Conv2d(2 * classes, 1, kernel_size=1)
        nn.init.zeros_(self.weigh.weight)
        nn.init.zeros_(self.weigh.bias)  # type: ignore[arg-type]
        self.map = MapTap("b 1 h w")
        self.aux = ("aux_global", "aux_local") if side else ()
        keep_normalisation(self, *model_normalisation(self.global_net))

    def heads(self, x: Float[Tensor, "b c h w"]) -> dict[str, Float[Tensor, "b q h w"]]:
        """Return the logits of both looks together and, while training, of each."""
        coarse = self.global_net.fitted(self.global_net.heads(x)["out"], x)
        boxes = self.attended(score_heat(coarse.detach(), self.kind), (x.shape[2], x.shape[3]))
        near = crops(x, boxes)
        fine = self.local_net.fitted(self.local_net.heads(near)["out"], near)
        fine, inside = pasted(fine, boxes, coarse.detach())
        weight = self.map(self.weigh(torch.cat([fine, coarse], dim=1)).sigmoid() * inside)
        logits = {"out": weight * fine + (1 - weight) * coarse}
        if self.training and self.aux:
            logits |= {"aux_global": coarse, "aux_local": fine}
        return logits


def _looking(network: str, classes: int, in_channels: int, options: dict[str, Any]) -> Segmenter:
    """Return a segmentation network of one output."""
    found = create_model(network, classes=classes, in_channels=in_channels, **options)
    if not isinstance(found, Segmenter) or found.dimensions != 2:
        raise OptionError(f'network: {network} is not a segmentation network of foveate. Try "unet".')
    if found.aux:
        raise OptionError(
            f"network: {network} has further outputs while training, {', '.join(found.aux)}. Leave them out, "
            f'if it can: network="{network}(side=False)"; or choose another, such as "unet".'
        )
    return found
