"""Residual networks with global context in the blocks of the last three stages.

Paper   Cao, Xu, Lin, Wei, Hu. GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond.
        ICCV Workshops 2019. arXiv:1904.11492, section 4.
Cost    with 1000 classes: gc_resnet50 28,078,773 parameters.
Differs none known; timm's blocks are in all four stages, with reduction=8.
"""

from __future__ import annotations

import functools

from foveate.models.classification.resnet import DEPTHS, PLANS, ResNet
from foveate.models.names import models

for _depth in DEPTHS:
    models.register(f"gc_resnet{_depth}")(functools.partial(ResNet, PLANS[_depth], "gc", stages=(2, 3, 4)))
