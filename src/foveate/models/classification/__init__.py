"""Classifiers."""

from foveate.models.classification.resnet_small import SmallResNet as SmallResNet
