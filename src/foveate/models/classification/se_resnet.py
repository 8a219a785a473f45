"""Residual networks with squeeze-and-excitation in every block.

Paper   Hu, Shen, Sun. Squeeze-and-Excitation Networks. CVPR 2018. arXiv:1709.01507, section 3.3; the
        placements in section 6.5 of the journal version, TPAMI 2020.
Cost    with 1000 classes: se_resnet18 11,778,592, se_resnet34 21,958,868, se_resnet50 28,088,024,
        se_resnet101 49,326,872, se_resnet152 66,821,848, se_resnext50 27,559,896, senet154 115,088,984
        parameters.
Differs from the models that the authors released: the size is halved in the 3 x 3 convolutions, as it is
        usual now (caffe=True is as theirs); senet154 has no dropout before its head.
"""

from __future__ import annotations

import functools

from foveate.models.classification.resnet import DEPTHS, PLANS, Plan, ResNet
from foveate.models.names import models

for _depth in DEPTHS:
    models.register(f"se_resnet{_depth}")(functools.partial(ResNet, PLANS[_depth], "se"))

_RESNEXT50 = Plan((3, 4, 6, 3), groups=32, group_width=4)
_SENET154 = Plan((3, 8, 36, 3), stem=128, groups=64, group_width=4, narrow=2, shortcut=3)
models.register("se_resnext50")(functools.partial(ResNet, _RESNEXT50, "se"))
models.register("senet154")(functools.partial(ResNet, _SENET154, "se", stem="deep"))
