"""RetinaNet on any encoder with a feature pyramid: anchors everywhere, classified with the focal loss.

Paper   Lin, Goyal, Girshick, He, Dollár. Focal Loss for Dense Object Detection. ICCV 2017. arXiv:1708.02002.
Shapes  a list of images float (3, H, W) in [0, 1] -> for each boxes (N, 4), labels (N,) and scores (N,); with
        targets in training a mapping of losses.
Differs the parts are torchvision's (``RetinaNet``). Anchors are as large as 4, 5 and 6.3 positions of their
        map, the paper's 32 to 813 pixels at strides 8 to 128; the two coarsest maps are convolved from the
        pyramid.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from torchvision.models.detection import RetinaNet as TorchvisionRetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator

from foveate.models.detection.picture_scale import LONGEST, scale_pictures
from foveate.models.detection.pyramid import Pyramid
from foveate.models.names import models

_ASPECTS = (0.5, 1.0, 2.0)


@models.register("retinanet")
def retinanet(
    *,
    classes: int,
    encoder: str = "resnet50",
    pretrained_encoder: bool = False,
    width: int | None = None,
    min_size: int | None = None,
    max_size: int = LONGEST,
    **options: Any,
) -> nn.Module:
    """Return RetinaNet; for the arguments see ``faster_rcnn``.

    Example:
        >>> import torch
        >>> model = retinanet(classes=4, encoder="resnet8").eval()
        >>> sorted(model([torch.rand(3, 48, 64)])[0])
        ['boxes', 'labels', 'scores']
    """
    body = Pyramid(encoder, levels=3, width=width, pooled=False, pretrained=pretrained_encoder, **options)
    sizes = tuple(tuple(int(4 * stride * 2 ** (third / 3)) for third in range(3)) for stride in body.strides)
    model = TorchvisionRetinaNet(
        body,
        num_classes=classes,
        anchor_generator=AnchorGenerator(sizes=sizes, aspect_ratios=(_ASPECTS,) * len(sizes)),
    )
    scale_pictures(model, min_size, max_size)
    return model
