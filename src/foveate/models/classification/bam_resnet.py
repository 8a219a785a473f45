"""Residual networks with a bottleneck attention module after each of the first three stages.

Paper   Park, Woo, Lee, Kweon. BAM: Bottleneck Attention Module. BMVC 2018. arXiv:1807.06514, section 3 and
        figure 1.
Cost    with 1000 classes: bam_resnet50 25,915,099 parameters.
Differs the two branches are added, as the paper prints; the authors' code and so their checkpoint multiply
        them (combine="multiply").
"""

from __future__ import annotations

import functools

from foveate.models.classification.resnet import DEPTHS, PLANS, ResNet
from foveate.models.names import models

for _depth in DEPTHS:
    _build = functools.partial(ResNet, PLANS[_depth], "bam", placement="stage", stages=(1, 2, 3))
    models.register(f"bam_resnet{_depth}")(_build)
