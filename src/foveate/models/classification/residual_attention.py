"""Residual attention networks: stages of residual attention modules, the hourglass shallower stage by stage.

Paper   Wang, Jiang, Qian, Yang, Li, Zhang, Wang, Tang. Residual Attention Network for Image Classification.
        CVPR 2017. arXiv:1704.06904, section 4.2 and table 2.
Shapes  images (B, 3, H, W) -> logits (B, classes); stages at 1/4, 1/8, 1/16 and 1/32 of the size.
Cost    with 1000 classes: residual_attention56 31,391,656, residual_attention92 51,769,768 parameters; with
        layout="authors" or "tengshaofeng" 31,810,728 and 52,466,344.
Differs what `residual_attention` differs in, and its layout= says whose network it is: by default no unit
        stands on the way across the hourglass. "authors" is their Caffe network, "tengshaofeng" the popular
        PyTorch one, whose names of weights load. The paper counts 31.9 and 51.3 million parameters.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import build
from foveate.mechanisms.mixed.residual_attention import UNIT, Unit, authors_name
from foveate.models.classification.resnet_blocks import check_images, initialise
from foveate.models.names import models
from foveate.options import whole

WIDTHS, LEVELS = (256, 512, 1024), (3, 2, 1)
LAST = 2048
_WIDEN = {
    "bn1": "activate.0",
    "conv4": "shortcut",
    "conv1": "change.0",
    "bn2": "change.1",
    "conv2": "change.3",
}
_WIDEN |= {"bn3": "change.4", "conv3": "change.6"}
_OUTER = {"conv1.0.": "conv1.", "conv1.1.": "bn1.", "mpool2.0.": "layer4.3."}


class Widen(nn.Module):
    """A residual unit that changes the number of channels, and perhaps the size; activated before, as `Unit`.

    Args:
        channels: Channels that come in.
        out: Channels that go out; a quarter of them in the middle.
        stride: 1 keeps the size, 2 halves it.
    """

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        hidden = out // 4
        self.activate = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
        self.shortcut = nn.Conv2d(channels, out, 1, stride=stride, bias=False)
        self.change = nn.Sequential(
            *(nn.Conv2d(channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU(inplace=True)),
            nn.Conv2d(hidden, hidden, 3, stride=stride, padding=1, bias=False),
            *(nn.BatchNorm2d(hidden), nn.ReLU(inplace=True), nn.Conv2d(hidden, out, 1, bias=False)),
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Return the map that the next unit receives."""
        x = self.activate(x)
        return self.shortcut(x) + self.change(x)


class ResidualAttentionNetwork(nn.Module):
    """A network whose trunk is refined by soft masks at three sizes.

    Args:
        modules: Attention modules of each of the first three stages: (1, 1, 1) makes 56 layers with weights
            on the way through the trunks, (1, 2, 3) makes 92.
        classes: Length of the output.
        options: Options of ``residual_attention``; ``levels`` are 3, 2 and 1 by stage.

    Raises:
        OptionError: An option does not exist or has an impossible value.

    Example:
        >>> import torch
        >>> ResidualAttentionNetwork((1, 1, 1), classes=5).eval()(torch.rand(2, 3, 64, 48)).shape
        torch.Size([2, 5])
    """

    def __init__(self, modules: tuple[int, int, int], *, classes: int, **options: object) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(64), nn.ReLU(inplace=True)
        caffe = options.get("layout") == "authors"
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=0 if caffe else 1, ceil_mode=caffe)
        stages = []
        for channels, count, levels in zip((64, *WIDTHS), modules, LEVELS, strict=False):
            out = max(256, 2 * channels)
            attention = (
                build("residual_attention", out, **{"levels": levels, **options}) for _ in range(count)
            )
            stages.append(nn.Sequential(Widen(channels, out, 1 if channels == 64 else 2), *attention))
        self.layer1, self.layer2, self.layer3 = stages
        units = (Unit(LAST, LAST // 4, nn.Conv2d) for _ in range(2))
        self.layer4 = nn.Sequential(Widen(WIDTHS[-1], LAST, 2), *units, nn.BatchNorm2d(LAST), nn.ReLU())
        self.avgpool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.fc = nn.Linear(LAST, whole("classes", classes))
        initialise(self)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b q"]:
        """Return logits."""
        check_images(self, x)
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.flatten(self.avgpool(x)))

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights in the names of tengshaofeng/ResidualAttentionNetwork-pytorch under our own.

        Its units have a fourth convolution, unused where the map keeps its shape; it is left out there.
        """
        named = {_ours(name): value for name, value in state.items()}
        return {name: value for name, value in named.items() if ".conv4." not in name}


def _ours(name: str) -> str:
    block = re.match(r"(residual_block|attention_module)(\d)(?:_(\d))?\.", name)
    if block is None:
        outer = next((old for old in _OUTER if name.startswith(old)), "")
        return _OUTER.get(outer, "") + name.removeprefix(outer)
    kind, stage, rest = block[1], int(block[2]), name[block.end() :]
    if kind == "attention_module":
        return f"layer{stage}.{block[3] or 1}.{authors_name(rest, LEVELS[stage - 1])}"
    layer, _, part = rest.partition(".")
    if stage > 4:  # the last stage has two more
        return f"layer4.{stage - 4}.{f'change.{UNIT[layer]}' if layer in UNIT else layer}.{part}"
    return f"layer{stage}.0.{_WIDEN.get(layer, layer)}.{part}"


for _name, _modules in (("56", (1, 1, 1)), ("92", (1, 2, 3))):
    models.register(f"residual_attention{_name}")(functools.partial(ResidualAttentionNetwork, _modules))
