"""Selective kernel networks: ResNeXt with a selective kernel convolution in every block.

Paper   Li, Wang, Hu, Yang. Selective Kernel Networks. CVPR 2019. arXiv:1903.06586, section 3.2 and table 1.
Cost    with 1000 classes and images of 224: sknet50 27,479,784 parameters, 4.463 G MACs; sknet101 48,736,040,
        8.449 G.
Differs none; the authors' definition of sknet101 has squeezed vectors of 16 instead of 32
        channels in its second stage.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from torch import nn

from foveate.mechanisms.branch.sk import SelectiveKernel
from foveate.models.classification.resnet import PLANS, Plan, ResNet
from foveate.models.names import models

DEPTHS = (26, 50, 101)
DEVIATION = (
    0.01  # of the weights of the squeezing and of the selecting layer at the start, as the authors have it
)


def sknet(plan: Plan, **options: Any) -> ResNet:
    """Return the network; the options are those of ``ResNet`` and of ``sk_conv``."""
    model = ResNet(plan, "sk_conv", **{"placement": "replace", **options})
    for module in model.modules():
        if isinstance(module, SelectiveKernel):
            nn.init.normal_(module.squeeze.weight, std=DEVIATION)
            nn.init.normal_(module.select.weight, std=DEVIATION)
    return model


for _depth in DEPTHS:
    _plan = dataclasses.replace(PLANS[_depth], groups=32, group_width=4)
    models.register(f"sknet{_depth}")(functools.partial(sknet, _plan))
