"""FCOS on any encoder with a feature pyramid: every position in an object says where its borders are.

Paper   Tian, Shen, Chen, He. FCOS: Fully Convolutional One-Stage Object Detection. ICCV 2019.
        arXiv:1904.01355.
Shapes  a list of images float (3, H, W) in [0, 1] -> for each boxes (N, 4), labels (N,) and scores (N,); with
        targets in training a mapping of losses.
Differs the parts are torchvision's (``FCOS``); the two coarsest maps are convolved from the pyramid.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import AnchorGenerator

from foveate.models.detection.picture_scale import LONGEST, scale_pictures
from foveate.models.detection.pyramid import Pyramid
from foveate.models.names import models


@models.register("fcos")
def fcos(
    *,
    classes: int,
    encoder: str = "resnet50",
    pretrained_encoder: bool = False,
    width: int | None = None,
    min_size: int | None = None,
    max_size: int = LONGEST,
    **options: Any,
) -> nn.Module:
    """Return FCOS; for the arguments see ``faster_rcnn``.

    Example:
        >>> import torch
        >>> model = fcos(classes=4, encoder="resnet8").eval()
        >>> sorted(model([torch.rand(3, 48, 64)])[0])
        ['boxes', 'labels', 'scores']
    """
    body = Pyramid(encoder, levels=3, width=width, pooled=False, pretrained=pretrained_encoder, **options)
    model = detection.FCOS(
        body,
        num_classes=classes,
        anchor_generator=AnchorGenerator(
            sizes=tuple((stride,) for stride in body.strides), aspect_ratios=((1.0,),) * len(body.strides)
        ),
        score_thresh=0.05,
    )
    scale_pictures(model, min_size, max_size)
    return model
