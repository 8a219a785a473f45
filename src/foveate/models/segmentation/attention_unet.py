"""Attention U-Net: every skip connection is gated by a coarser map.

Formula y = joined(gate(skip, g), up(coarse)); the gates as in mechanisms/query/attention_gate.py
Paper   Oktay et al. Attention U-Net: Learning Where to Look for the Pancreas. MIDL 2018. arXiv:1804.03999.
Shapes  images (B, C, H, W) -> logits (B, classes, H, W), or volumes (B, C, D, H, W) with dimensions=3.
Cost    kind="grid" for volumes of 1 channel, 4 classes: 6,473,322 parameters with two gates at each
        connection, 6,214,151 with one, 5,888,004 without; kind="additive", 3 channels, 1 class: 34,878,573,
        without gates 34,527,041; kind="monai", 1 channel, 2 classes: 31,739,250 for images, 94,482,930 for
        volumes with widths from 64 to 1024.
Differs none from the authors' code for kind="grid", except that volumes may have any size, and that
        maps are resized by the centres of pixels. kind="additive" is LeeJunHyun/Image_Segmentation's,
        "monai" MONAI's: no gating block, gates that see maps of one size, at the finest connection too.
        The names of weights of all three load.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor, nn

from foveate.models.names import models
from foveate.models.segmentation.conv_unet import ConvUNet, Kind
from foveate.models.weight_names import Rules, renamed

GRID = (16, 32, 64, 128, 256)  # the authors' feature_scale of 4
WIDE = (64, 128, 256, 512, 1024)

_LEVELS = range(1, 9)
_GATE: Rules = (
    (r"^(skips\.\d)\.W_x\.0\.(?:conv\.)?", r"\1.theta."),
    (r"^(skips\.\d)\.W_x\.1\.", r"\1.norms.theta."),
    (r"^(skips\.\d)\.W_g\.0\.(?:conv\.)?", r"\1.phi."),
    (r"^(skips\.\d)\.W_g\.1\.", r"\1.norms.phi."),
    (r"^(skips\.\d)\.psi\.0\.(?:conv\.)?", r"\1.psi."),
    (r"^(skips\.\d)\.psi\.1\.", r"\1.norms.psi."),
)
_ADDITIVE: Rules = (
    (r"^Conv_1x1\.", "head."),
    *((rf"^Conv{n}\.conv\.", f"down.{n - 1}.") for n in _LEVELS),
    *((rf"^Up_conv{n + 1}\.conv\.", f"joins.{n - 1}.") for n in _LEVELS),
    *((rf"^Up{n + 1}\.up\.{part}\.", f"ups.{n - 1}.{part - 1}.") for n in _LEVELS for part in (1, 2)),
    *((rf"^Att{n + 1}\.", f"skips.{n - 1}.") for n in _LEVELS),
    *_GATE,
)
_GRID: Rules = (
    (r"^gating\.conv1\.", "ask."),
    (r"^final\.", "head."),
    (r"^center\.", "conv5."),
    *((rf"^conv{n}\.", f"down.{n - 1}.") for n in _LEVELS),
    *((rf"^up_concat{n}\.conv\.", f"joins.{n - 1}.") for n in _LEVELS),
    *((rf"^dsv{n}\.(?:dsv\.0\.)?", f"sides.{n - 1}.") for n in _LEVELS),
    *((rf"^attentionblock{n}\.", f"skips.{n - 1}.") for n in _LEVELS),
    *((rf"\.gate_block_{n}\.", f".gates.{n - 1}.") for n in _LEVELS),
    (r"\.W\.0\.", ".output."),
    (r"\.W\.1\.", ".norms.output."),
    (r"\.combine_gates\.", ".combine."),
    (r"^((?:down|joins)\.\d)\.conv1\.", r"\1."),
    (r"^((?:down|joins)\.\d)\.conv2\.0\.", r"\1.3."),
    (r"^((?:down|joins)\.\d)\.conv2\.1\.", r"\1.4."),
)


def _monai(level: int) -> Rules:
    """Return the rules for one size: MONAI puts what is coarser into a part of what is finer."""
    path = r"^model\.1" + r"\.submodule\.1" * level
    return (
        (rf"{path}\.attention\.", f"skips.{level}."),
        (rf"{path}\.upconv\.up\.", f"ups.{level}."),
        (rf"{path}\.merge\.", f"joins.{level}."),
        (rf"{path}\.submodule\.(?:0\.)?conv\.", f"down.{level + 1}.conv."),
    )


_MONAI: Rules = (
    (r"^model\.0\.", "down.0."),
    (r"^model\.2\.conv\.", "head."),
    *(rule for level in _LEVELS for rule in _monai(level - 1)),
    (r"^(down\.\d)\.conv\.0\.conv\.", r"\1.0."),
    (r"^(down\.\d)\.conv\.0\.adn\.N\.", r"\1.1."),
    (r"^(down\.\d)\.conv\.1\.conv\.", r"\1.3."),
    (r"^(down\.\d)\.conv\.1\.adn\.N\.", r"\1.4."),
    (r"^((?:ups|joins)\.\d)\.conv\.", r"\1.0."),
    (r"^(ups\.\d)\.adn\.N\.", r"\1.1."),
    (r"^(joins\.\d)\.adn\.A\.", r"\1.2."),
    *_GATE,
)
RULES: Mapping[str, Rules] = {"grid": _GRID, "additive": _ADDITIVE, "monai": _MONAI}


@models.register("attention_unet")
class AttentionUNet(ConvUNet):
    """A U-Net whose skip connections are gated by the coarser map.

    Args:
        classes: Channels of the output.
        in_channels: Channels of the images.
        kind: ``"grid"`` (authors), ``"additive"`` (the popular re-implementation) or ``"monai"``.
        gates: Gates at each skip connection; 0 for the plain U-Net of that kind. Authors: 1 or 2.
        dimensions: 2 for images, 3 for volumes. Paper: 3.
        widths: Channels at each size; None for 16 to 256 with ``"grid"`` (authors), else 64 to 1024.
        deep_supervision: Whether the logits are mixed from those of every size; None for True with
            ``"grid"``, as in the authors' code. The loss is on the mixture only.

    Raises:
        OptionError: An option has an impossible value.

    Example:
        >>> import torch
        >>> AttentionUNet(classes=2).eval()(torch.rand(1, 3, 33, 47)).shape
        torch.Size([1, 2, 33, 47])
    """

    def __init__(
        self,
        *,
        classes: int,
        in_channels: int = 3,
        kind: Kind = "grid",
        gates: int = 1,
        dimensions: Literal[2, 3] = 2,
        widths: Sequence[int] | None = None,
        deep_supervision: bool | None = None,
    ) -> None:
        super().__init__(
            classes=classes,
            in_channels=in_channels,
            kind=kind,
            gates=gates,
            dimensions=dimensions,
            widths=widths or (GRID if kind == "grid" else WIDE),
            deep_supervision=kind == "grid" if deep_supervision is None else deep_supervision,
        )
        if kind == "grid":
            self.apply(_initialise)

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights of the authors, of LeeJunHyun or of MONAI under the names of this network."""
        return renamed(state, RULES[self.kind], self.state_dict())


def _initialise(module: nn.Module) -> None:
    """Draw the weights as the authors do."""
    if isinstance(module, nn.Conv2d | nn.Conv3d):
        nn.init.kaiming_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
        nn.init.normal_(module.weight, 1.0, 0.02)
