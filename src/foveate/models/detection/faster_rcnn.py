"""Faster R-CNN on any encoder with a feature pyramid: regions are proposed, then classified and moved.

Paper   Ren, He, Girshick, Sun. Faster R-CNN. NIPS 2015. arXiv:1506.01497; on a pyramid: Lin et al. CVPR 2017.
        arXiv:1612.03144.
Shapes  a list of images float (3, H, W) in [0, 1] -> for each boxes (N, 4), labels (N,) and scores (N,); with
        targets in training a mapping of losses.
Differs the parts are torchvision's (``FasterRCNN``). Anchors are as large as 8 positions of their map, which
        is the paper's 32 to 512 pixels at strides 4 to 64, and the layers of the head scale with the
        pyramid's width: so it fits small pictures and small encoders too.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from torchvision.models.detection import FasterRCNN as TorchvisionFasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.ops import MultiScaleRoIAlign

from foveate.models.detection.picture_scale import LONGEST, scale_pictures
from foveate.models.detection.pyramid import Pyramid
from foveate.models.names import models

_GRID = 7  # cells a side that a region is pooled into
_ASPECTS = (0.5, 1.0, 2.0)


@models.register("faster_rcnn")
def faster_rcnn(
    *,
    classes: int,
    encoder: str = "resnet50",
    pretrained_encoder: bool = False,
    width: int | None = None,
    min_size: int | None = None,
    max_size: int = LONGEST,
    **options: Any,
) -> nn.Module:
    """Return Faster R-CNN.

    Args:
        classes: Classes and one more, the background, which has number 0.
        encoder: See ``build_encoder``; resnet8 for small pictures.
        pretrained_encoder: Fetch the weights of the published classifier.
        width: Channels of the pyramid; 256, or the encoder's last if that is fewer, if None.
        min_size: Pixels that the short side is brought to; None to see pictures as they are.
        max_size: Pixels that the long side has at most.
        options: The encoder's.

    Example:
        >>> import torch
        >>> model = faster_rcnn(classes=4, encoder="resnet8").eval()
        >>> sorted(model([torch.rand(3, 48, 64)])[0])
        ['boxes', 'labels', 'scores']
    """
    body = Pyramid(encoder, levels=4, width=width, pooled=True, pretrained=pretrained_encoder, **options)
    hidden = 4 * body.out_channels
    model = TorchvisionFasterRCNN(
        body,
        rpn_anchor_generator=AnchorGenerator(
            sizes=tuple((8 * stride,) for stride in body.strides),
            aspect_ratios=(_ASPECTS,) * len(body.strides),
        ),
        box_roi_pool=MultiScaleRoIAlign(featmap_names=body.names, output_size=_GRID, sampling_ratio=2),
        box_head=TwoMLPHead(body.out_channels * _GRID**2, hidden),
        box_predictor=FastRCNNPredictor(hidden, classes),
    )
    scale_pictures(model, min_size, max_size)
    return model
