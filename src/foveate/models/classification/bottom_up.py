"""Bottom-up attention: a pyramid of regions of each layer, weighed by region, level and layer; a classifier.

Formula z_s = sum_k a_sk r_sk, over the regions r_sk of a spatial pyramid on the map of layer s (see
        ``pyramid_pool``); z = sum_s b_s LN_s(P_s z_s), over the layers (``layer_weights``), or z_1 of one
        layer; logits = W z
Paper   He, Zhang, Ren, Sun. Spatial Pyramid Pooling in Deep Convolutional Networks for Visual Recognition.
        ECCV 2014. arXiv:1406.4729; the weights of regions: Ilse, Tomczak, Welling. ICML 2018.
        arXiv:1802.04712; of layers: Peters et al. NAACL 2018. arXiv:1802.05365.
Shapes  images (B, C, H, W) of any size -> logits (B, classes)
Cost    the encoder's and, with S layers of F = sum_s C_s channels, L levels, K = sum of levels squared,
        D = hidden, W = width, Q = classes: sum_s (L*C_s + D*(C_s + 1) + D), F*W + 2*S*W + S + 1 (static;
        W*(W + 1) in place of S + 1 for input, 0 for equal), and Q*(W + 1); one layer: L*C + D*(C + 1) + D +
        Q*(C + 1). concatenate=True: nothing for regions and levels, and K*F in place of F.
Differs the three are published one by one; putting them together, and pooling earlier layers by a pyramid,
        is our own.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from foveate.errors import OptionError, ShapeError
from foveate.mechanisms.branch.layer_weights import LayerWeights
from foveate.mechanisms.kernels.reductions import mean
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.spatial.pyramid_pool import PyramidPool, over_positions, regions
from foveate.models.classification.label_network import POSITIONS, build_backbone
from foveate.models.encoders.encoder import Encoder
from foveate.models.names import models
from foveate.models.normalisation import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Triple,
    keep_normalisation,
    model_normalisation,
)
from foveate.options import one_of, whole

_log = logging.getLogger("foveate")


class GlobalAverage(nn.Module):
    """The mean over all positions: pooling without a pyramid."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        """Return one vector a picture."""
        return mean(x, 2, 3).flatten(1)


class Pyramid(nn.Module):
    """All regions of a pyramid in one vector, as He et al. have it: level by level, row by row.

    Args:
        levels: For each level the number of regions along each side.
        statistic: Of a region: "max" or "mean".
    """

    def __init__(self, levels: Sequence[int], statistic: Literal["max", "mean"]) -> None:
        super().__init__()
        self.levels, self.statistic = tuple(levels), statistic

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b kc"]:
        """Return one vector a picture."""
        return regions(x, self.levels, self.statistic).flatten(1)


@models.register("bottom_up")
class BottomUp(nn.Module):
    """A classifier that weighs regions, levels and layers of what an encoder sees.

    Every part can be switched off. Without attention, parts count alike: that is how they start.
    ``levels="none"`` is global average pooling, ``layers=1`` reads the last map only.

    Args:
        classes: Length of the output.
        backbone: The encoder; see ``build_encoder``; or a vision transformer of timm, which has one layer.
        in_channels: Channels of the images.
        pretrained_encoder: Fetch the weights of the published classifier.
        levels: Of the pyramid: for each level the number of regions along each side. "none": no pyramid.
        statistic: Of a region: its "max", as in the paper, or its "mean".
        region_attention: Whether regions of a level are weighed against each other.
        level_attention: Whether the levels are.
        concatenate: Join the regions to one long vector, as the paper does, in place of a weighted mean.
        hidden: Width of the network that weighs regions and levels.
        gated: Whether each of its hidden values is gated by a sigmoid.
        layers: How many of the encoder's maps are read, the last ones; all up to three if None.
        layer_attention: Weights of the layers: "static" for all images alike, "input" from each image's
            layers, or "equal".
        width: Of the vector that every layer is projected to, where there are several.
        options: The encoder's.

    Raises:
        UnknownNameError: There is no such backbone.
        OptionError: An option does not exist or is out of range, or two do not go together.

    Example:
        >>> model = BottomUp(classes=5, backbone="resnet8", levels=(1, 2)).eval()
        >>> [model(torch.rand(2, 3, *size)).shape[1] for size in ((32, 32), (40, 57))]
        [5, 5]
    """

    def __init__(
        self,
        *,
        classes: int,
        backbone: str = "resnet50",
        in_channels: int = 3,
        pretrained_encoder: bool = False,
        levels: Sequence[int] | Literal["none"] = (1, 2, 3, 6),
        statistic: Literal["max", "mean"] = "max",
        region_attention: bool = True,
        level_attention: bool = True,
        concatenate: bool = False,
        hidden: int = 128,
        gated: bool = False,
        layers: int | None = None,
        layer_attention: Literal["static", "input", "equal"] = "static",
        width: int = 256,
        **options: Any,
    ) -> None:
        super().__init__()
        one_of("layer_attention", layer_attention, ("static", "input", "equal"))
        if concatenate and levels == "none":
            raise OptionError("concatenate: needs levels=..., the regions that are joined")
        self.classes = whole("classes", classes)
        self.encoder = build_backbone(
            backbone, in_channels=in_channels, pretrained=pretrained_encoder, **options
        )
        self.encoder.wanted = _layers(self.encoder, layers)
        channels = self.encoder.channels[-self.encoder.wanted :]

        def pool(number: int) -> nn.Module:
            if isinstance(levels, str):
                return GlobalAverage()
            attention = PyramidPool(
                number,
                levels=levels,
                hidden=hidden,
                gated=gated,
                region_attention=region_attention,
                level_attention=level_attention,
                statistic=statistic,
            )
            return Pyramid(levels, statistic) if concatenate else attention

        self.pools = nn.ModuleList(pool(number) for number in channels)
        joined = sum(n * n for n in levels) if concatenate and not isinstance(levels, str) else 1
        widths = tuple(number * joined for number in channels)
        several = len(widths) > 1
        self.layer_weights = (
            LayerWeights(widths, maps=len(widths), out_channels=width, kind=layer_attention)
            if several
            else None
        )
        self.scores = nn.Linear(width if several else widths[0], classes)
        self.positions = MapTap("b s h w", sums="h w")
        side = max(64, POSITIONS * self.encoder.strides[-1])
        self.default_cfg = {"input_size": (in_channels, side, side)}
        keep_normalisation(self, *model_normalisation(self.encoder))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b q"]:
        """Return logits."""
        channels = self.encoder.in_channels
        if x.ndim != 4 or x.shape[1] != channels or not x.is_floating_point():
            raise ShapeError(
                f"BottomUp: got {tuple(x.shape)} of {x.dtype}, expected floating point images "
                f"(B, {channels}, H, W). Build it with the in_channels of the images."
            )
        return self.classify(self.encoder(x))

    def classify(self, maps: Sequence[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b q"]:
        """Return logits, from the encoder's maps: the head alone, such as on maps that were stored."""
        if self.positions.recording and isinstance(self.pools[0], PyramidPool):
            self._show(maps)
        vectors = [pool(y) for pool, y in zip(self.pools, maps, strict=True)]
        if self.layer_weights is not None:
            joined = self.layer_weights([vector[:, :, None, None] for vector in vectors]).flatten(1)
        else:
            (joined,) = vectors
        logits: Tensor = self.scores(joined)
        return logits

    def _show(self, maps: Sequence[Float[Tensor, "b _ _ _"]]) -> None:
        """Send the weights of the regions of each layer, as weights of the finest map's positions."""
        size, shown = (maps[0].shape[2], maps[0].shape[3]), []
        for pool, y in zip(self.pools, maps, strict=True):
            assert isinstance(pool, PyramidPool)
            look = over_positions(pool.read(y)[1], pool.levels, y.shape[2], y.shape[3])
            fine = interpolate(look.unsqueeze(1), size, mode="nearest-exact")
            shown.append(fine / fine.sum(dim=(2, 3), keepdim=True))
        self.positions(torch.cat(shown, dim=1))

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights of the plain classifier under the names of this network.

        Those of its own head are kept where it reads one vector of the same length, the last map's; elsewhere
        the head starts afresh, and the log says so.
        """
        own = self.state_dict()
        if any(name.startswith("encoder.") for name in state):
            return dict(state)
        place = "encoder.network." if any(name.startswith("encoder.network.") for name in own) else "encoder."
        kept = {f"{place}{name}": value for name, value in state.items() if f"{place}{name}" in own}
        heads = [name for name in state if f"{place}{name}" not in own and state[name].ndim == 2]
        read = [name for name in heads if state[name].shape[1] == self.scores.in_features]
        if self.layer_weights is None and len(read) == 1:
            layer = read[0].removesuffix("weight")
            head = {f"scores.{part}": state[f"{layer}{part}"] for part in ("weight", "bias")}
        else:
            _log.warning("bottom_up: the weights of the classifier's head do not fit; scores starts afresh")
            head = {name: value for name, value in own.items() if name.startswith("scores.")}
        return {**kept, **head}

    @property
    def published_normalisation(self) -> tuple[Triple, Triple] | None:
        """Mean and deviation that the published weights expect of colour images: ImageNet's."""
        return (IMAGENET_MEAN, IMAGENET_STD) if self.encoder.in_channels == 3 else None


def _layers(encoder: Encoder, layers: int | None) -> int:
    """Return how many maps are read: the last three if there are as many and nothing is said."""
    most = len(encoder.channels)
    return min(3, most) if layers is None else whole("layers", layers, 1, most)
