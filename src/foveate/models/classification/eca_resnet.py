"""Residual networks with efficient channel attention in every block.

Paper   Wang, Wu, Zhu, Li, Zuo, Hu. ECA-Net: Efficient Channel Attention for Deep Convolutional Neural
        Networks. CVPR 2020. arXiv:1910.03151, section 4.
Cost    with 1000 classes: eca_resnet50 25,557,118 parameters, 86 more than without.
Differs the kernel grows with the channels as equation 12 says; the authors' files have kernels of their own
        choice for each stage.
"""

from __future__ import annotations

import functools

from foveate.models.base import models
from foveate.models.classification.resnet import DEPTHS, PLANS, ResNet

for _depth in DEPTHS:
    models.register(f"eca_resnet{_depth}")(functools.partial(ResNet, PLANS[_depth], "eca"))
