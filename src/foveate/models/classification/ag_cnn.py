"""AG-CNN: one network sees the whole image, a second the region where the first looks, a third fuses both.

Formula y_global = W_g p_g, p_g = pool(f(x)); y_local = W_l p_l, p_l = pool(f'(crop(x))); y = W [p_g; p_l];
        crop(x) is what the box around the largest region of f(x)'s heat map holds, at the size of x
Paper   Guan, Huang, Zhong, Zheng, Zheng, Yang. Diagnose like a Radiologist: Attention Guided Convolutional
        Neural Network for Thorax Disease Classification. 2018. arXiv:1801.09927.
Shapes  images (B, C, H, W) -> logits (B, classes), for a sigmoid; heat map (B, 1, h, w), box
        (B, 4) in pixels of the image
Cost    47,138,989 parameters with ResNet-50 and 15 classes, 47,130,794 with 14; 13,965,098 with DenseNet-121
        and 14. Twice the MACs of the backbone.
Differs pooling is the average, as in the backbones, where a figure of the paper says maximum (pool="max");
        how the threshold is meant, see ``attended_box``. The published files (Ien001/AG-CNN) are of networks
        that look elsewhere than the paper says: crop="ien001", see ``otsu_box``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import CheckpointError, OptionError, ShapeError
from foveate.models.classification.attended_box import (
    THRESHOLD,
    AttendedBox,
    Scaling,
    Statistic,
    crops,
    heat_map,
)
from foveate.models.classification.otsu_box import OtsuBox, second_looks
from foveate.models.encoders.build_encoder import build_encoder
from foveate.models.names import models
from foveate.models.normalisation import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Triple,
    keep_normalisation,
    model_normalisation,
)
from foveate.models.weight_names import Rules, renamed
from foveate.options import one_of, whole

POSITIONS = 7  # height and width of the last map at the image size that the network is designed for
_TORCHVISION: Rules = (
    (r"^(.*denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2."),  # as files from before 2019 have it
    (r"^(?:classifier|fc)\.", "scores."),
    (r"^(?!encoder\.|scores\.)", "encoder."),
)


class Seen(NamedTuple):
    """The outputs of a branch.

    Args:
        logits: (B, classes).
        features: The last map (B, C, h, w).
        pooled: The same, pooled over the positions (B, C).
    """

    logits: Tensor
    features: Tensor
    pooled: Tensor


class Branch(nn.Module):
    """A classifier that also returns its last map.

    Args:
        backbone: See ``build_encoder``.
        classes: Length of the output.
        in_channels: Channels of the images.
        pretrained: Fetch the weights of the published classifier.
        pool: ``"avg"`` or ``"max"`` over the positions of the last map.
        options: The backbone's.
    """

    def __init__(
        self,
        backbone: str,
        *,
        classes: int,
        in_channels: int = 3,
        pretrained: bool = False,
        pool: Literal["avg", "max"] = "avg",
        **options: Any,
    ) -> None:
        super().__init__()
        one_of("pool", pool, ("avg", "max"))
        self.encoder = build_encoder(backbone, in_channels=in_channels, pretrained=pretrained, **options)
        self.pool = nn.AdaptiveAvgPool2d(1) if pool == "avg" else nn.AdaptiveMaxPool2d(1)
        self.scores = nn.Linear(self.encoder.channels[-1], whole("classes", classes))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Seen:
        """Return logits, the last map, and the pooled map."""
        features = self.encoder(x)[-1]
        pooled = self.pool(features).flatten(1)
        return Seen(self.scores(pooled), features, pooled)

    @property
    def published_normalisation(self) -> tuple[Triple, Triple]:
        """Mean and deviation that published weights expect of images: ImageNet's."""
        return IMAGENET_MEAN, IMAGENET_STD

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights of torchvision's classifier under the names of this branch."""
        return renamed(state, _TORCHVISION, self.state_dict())


class FusionBranch(nn.Module):
    """One linear layer on the pooled features of two branches.

    Args:
        channels: Of each of the two.
        classes: Length of the output.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(2 * channels, classes)

    def forward(self, first: Float[Tensor, "b c"], second: Float[Tensor, "b c"]) -> Float[Tensor, "b q"]:
        """Return logits."""
        return self.fc(torch.cat([first, second], dim=1))


@models.register("ag_cnn")
class AttentionGuided(nn.Module):
    """Attention-guided network: global, local and fusion branch.

    In evaluation the output is the logits of the fusion branch. While training it is a dict of ``"out"``,
    those of the fusion branch, ``"global"`` and ``"local"``; ``branches`` gives all three at any time. The
    paper trains one branch after the other, which ``foveate.train.fit`` does because of ``training_stages``:
    while ``stage`` is the name of one, only that branch's logits are computed and returned.

    Args:
        classes: Length of the output. Paper: 15, 14 diseases and none; its public code: 14.
        backbone: The network of both branches, each with weights of its own; see ``build_encoder``. Paper:
            ``"resnet50"``, ``"densenet121"``.
        in_channels: Channels of the images.
        pretrained_encoder: Fetch the weights of the published backbone, for both branches.
        statistic: Over the channels, for the heat map: ``"max"``, ``"mean"`` or ``"l2"``; see ``heat_map``.
        threshold: Positions above it are attended to, in [0, 1). Paper: 0.7.
        scaling: What the threshold is a share of: ``"range"`` or ``"max"``; see ``cam_to_mask``.
        connectivity: 8 or 4: whether pixels that share only a corner are connected.
        pool: ``"avg"`` or ``"max"`` over the positions of the last map.
        crop: ``"paper"``, or ``"ien001"``, with which the published files were trained; the four options of
            the heat map and its threshold apply to the paper's only.
        options: The backbone's.

    Attributes:
        stage: The branch that is being trained, the only one that is run; None for the whole network.

    Raises:
        UnknownNameError: There is no such backbone.
        OptionError: An option does not exist or is out of range.

    Example:
        >>> model = AttentionGuided(classes=14, backbone="resnet8").eval()
        >>> model(torch.rand(2, 3, 33, 47)).shape
        torch.Size([2, 14])
    """

    aux = ("global", "local")

    def __init__(
        self,
        *,
        classes: int,
        backbone: str = "resnet50",
        in_channels: int = 3,
        pretrained_encoder: bool = False,
        statistic: Statistic = "max",
        threshold: float = THRESHOLD,
        scaling: Scaling = "range",
        connectivity: int = 8,
        pool: Literal["avg", "max"] = "avg",
        crop: Literal["paper", "ien001"] = "paper",
        **options: Any,
    ) -> None:
        super().__init__()
        one_of("statistic", statistic, ("max", "mean", "l2"))
        one_of("crop", crop, ("paper", "ien001"))
        if crop == "ien001":
            _check_crop(in_channels, (statistic, threshold, scaling, connectivity))
        self.statistic: Statistic = statistic
        self.in_channels = in_channels
        self.stage: str | None = None
        self.global_branch, self.local_branch = (
            Branch(
                backbone,
                classes=classes,
                in_channels=in_channels,
                pretrained=pretrained_encoder,
                pool=pool,
                **options,
            )
            for _ in range(2)
        )
        self.attended = (
            OtsuBox()
            if crop == "ien001"
            else AttendedBox(threshold=threshold, connectivity=connectivity, scaling=scaling)
        )
        encoder = self.global_branch.encoder
        self.fusion_branch = FusionBranch(encoder.channels[-1], classes)
        side = max(64, POSITIONS * encoder.strides[-1])
        self.default_cfg = {"input_size": (in_channels, side, side)}
        keep_normalisation(self, *model_normalisation(encoder))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Tensor | dict[str, Tensor]:
        """Return the fusion branch's logits; all three while training; those of ``stage`` in a stage."""
        if self.stage is not None:
            return self._logits(x, until=self.stage)[self.stage]
        found = self.branches(x)
        if not self.training:
            return found["fusion"]
        return {"out": found["fusion"], **{name: found[name] for name in self.aux}}

    def branches(self, x: Float[Tensor, "b c h w"]) -> dict[str, Float[Tensor, "b q"]]:
        """Return the logits of ``"global"``, ``"local"`` and ``"fusion"``.

        Raises:
            ShapeError: The images are not (B, in_channels, H, W), of floating point.
        """
        return self._logits(x, until="fusion")

    def training_stages(self) -> dict[str, tuple[nn.Module, ...]]:
        """Return the parts to train one after the other: each branch, with those before it frozen."""
        return {
            "global": (self.global_branch,),
            "local": (self.local_branch,),
            "fusion": (self.fusion_branch,),
        }

    def _logits(self, x: Tensor, until: str) -> dict[str, Tensor]:
        """Return the logits of the branches, up to the requested one."""
        if x.ndim != 4 or x.shape[1] != self.in_channels or not x.is_floating_point():
            raise ShapeError(
                f"AttentionGuided: got {tuple(x.shape)} of {x.dtype}, expected floating point images "
                f"(B, {self.in_channels}, H, W). Build it with the in_channels of the images."
            )
        whole_image = self.global_branch(x)
        logits = {"global": whole_image.logits}
        if until in logits:
            return logits
        region = self.local_branch(self._region(x, whole_image.features.detach()))
        logits["local"] = region.logits
        if until in logits:
            return logits
        return {**logits, "fusion": self.fusion_branch(whole_image.pooled, region.pooled)}

    def _region(self, x: Tensor, features: Tensor) -> Tensor:
        """Return the part of the images that the second branch sees."""
        size = (x.shape[2], x.shape[3])
        if isinstance(self.attended, OtsuBox):
            return second_looks(x, self.attended(features.sum(dim=1, keepdim=True), size))
        return crops(x, self.attended(heat_map(features, self.statistic), size))

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights unchanged: there are three published files, one per branch.

        Raises:
            CheckpointError: They are those of one branch.
        """
        if any(name.startswith(("features.", "conv1.", "fc.")) for name in state):
            raise CheckpointError(
                "these are the weights of one branch. Load each file into its own: "
                "fv.load_published(model.global_branch, ...), model.local_branch, model.fusion_branch."
            )
        return dict(state)


def _check_crop(in_channels: int, heat: tuple[object, ...]) -> None:
    if in_channels != 3:
        raise OptionError(f'crop: "ien001" is for colour images, got in_channels={in_channels}')
    if heat != ("max", THRESHOLD, "range", 8):
        raise OptionError(
            'crop: "ien001" sums the channels and takes Otsu\'s threshold. Leave out statistic=, threshold=, '
            "scaling= and connectivity=."
        )
