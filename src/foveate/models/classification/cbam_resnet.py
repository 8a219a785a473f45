"""Residual networks with convolutional block attention in every block.

Paper   Woo, Park, Lee, Kweon. CBAM: Convolutional Block Attention Module. ECCV 2018. arXiv:1807.06521,
        section 3, "Arrangement of attention modules", and figure 3.
Cost    with 1000 classes: cbam_resnet18 11,779,392, cbam_resnet34 21,960,468, cbam_resnet50 28,089,624,
        cbam_resnet101 49,330,172 parameters.
Differs none; stem="cifar" is their network for CIFAR.
"""

from __future__ import annotations

import functools

from foveate.models.classification.resnet import DEPTHS, PLANS, ResNet
from foveate.models.names import models

for _depth in DEPTHS:
    models.register(f"cbam_resnet{_depth}")(functools.partial(ResNet, PLANS[_depth], "cbam"))
