"""BiSeNet: a shallow path for detail and a deep one for context, whose channels are gated where they meet.

Paper   Yu, Wang, Peng, Gao, Yu, Sang. BiSeNet: Bilateral Segmentation Network for Real-time Semantic
        Segmentation. ECCV 2018. arXiv:1808.00897.
Shapes  images (B, C, H, W) -> logits (B, classes, H, W), computed at stride 8.
Cost    19 classes: resnet18 13,494,777 parameters with both auxiliary heads, 12,894,163 without; xception39
        1,842,289 with those of 128 channels, 1,541,963 without; layout="coincheung" 13,425,721 and
        13,275,539. 11.58 and 3.07 G MACs at 640 x 360.
Differs the paper's refinement has no 3 x 3 convolution and its spatial path no last 1 x 1 one; both are the
        authors' code. Everything is resized to where it goes, so any size of image works. The paper's 5.8
        and 49 million parameters are not those of any released code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.mechanisms.branch.feature_fusion import FeatureFusion
from foveate.mechanisms.channel.attention_refinement import AttentionRefinement
from foveate.mechanisms.kernels.reductions import mean
from foveate.models.encoders.build_encoder import build_encoder
from foveate.models.encoders.encoder import Encoder
from foveate.models.names import models
from foveate.models.segmentation.blocks import convolve, side_head
from foveate.models.segmentation.segmenter import Segmenter, resized
from foveate.models.weight_names import Rules, renamed
from foveate.options import whole

WIDTH = 128  # channels of either path where they meet
INNER = 64  # of the spatial path before that
AUTHORS: Rules = (
    (r"^context_path\.", "encoder."),
    (r"^spatial_path\.conv_7x7\.(?=conv|bn)", "spatial.0#"),
    (r"^spatial_path\.conv_3x3_([12])\.(?=conv|bn)", r"spatial.\1#"),
    (r"^spatial_path\.conv_1x1\.(?=conv|bn)", "spatial.3#"),
    (r"^global_context\.1\.", "context#"),
    (r"^arms\.([01])\.conv_3x3\.", r"arms.\1.0#"),
    (r"^arms\.([01])\.channel_attention\.1\.conv\.", r"arms.\1.1.excite."),
    (r"^arms\.([01])\.channel_attention\.1\.bn\.", r"arms.\1.1.norm."),
    (r"^refines\.([01])\.(?=conv|bn)", r"refines.\1#"),
    (r"^ffm\.conv_1x1\.conv\.", "fusion.mix."),
    (r"^ffm\.conv_1x1\.bn\.", "fusion.norm."),
    (r"^ffm\.channel_attention\.1\.conv\.", "fusion.squeeze."),
    (r"^ffm\.channel_attention\.2\.conv\.", "fusion.excite."),
    (r"^heads\.0\.", "aux_scores.0."),
    (r"^heads\.1\.", "aux_scores.1."),
    (r"^heads\.2\.", "scores."),
    (r"(scores\.(?:[01]\.)?)conv_3x3\.conv\.", r"\g<1>0."),
    (r"(scores\.(?:[01]\.)?)conv_3x3\.bn\.", r"\g<1>1."),
    (r"(scores\.(?:[01]\.)?)conv_1x1\.", r"\g<1>4."),
    (r"#conv\.", ".0."),
    (r"#bn\.", ".1."),
)
COINCHEUNG: Rules = (
    (r"^cp\.resnet\.", "encoder."),
    (r"^sp\.conv1\.", "spatial.0#"),
    (r"^sp\.conv2\.", "spatial.1#"),
    (r"^sp\.conv3\.", "spatial.2#"),
    (r"^sp\.conv_out\.", "spatial.3#"),
    (r"^cp\.conv_avg\.", "context#"),
    (r"^cp\.arm32\.", "arms.0."),
    (r"^cp\.arm16\.", "arms.1."),
    (r"^(arms\.[01])\.conv\.(?=conv|bn)", r"\1.0#"),
    (r"^(arms\.[01])\.conv_atten\.", r"\1.1.excite."),
    (r"^(arms\.[01])\.bn_atten\.", r"\1.1.norm."),
    (r"^cp\.conv_head32\.", "refines.0#"),
    (r"^cp\.conv_head16\.", "refines.1#"),
    (r"^ffm\.convblk\.", "fusion.mix#"),
    (r"^ffm\.conv\.", "fusion.gate.excite."),
    (r"^ffm\.bn\.", "fusion.gate.norm."),
    (r"^conv_out\.conv\.conv\.", "scores.0."),
    (r"^conv_out\.conv\.bn\.", "scores.1."),
    (r"^conv_out\.conv_out\.", "scores.4."),
    (r"^conv_out32\.", "aux_scores.0."),
    (r"^conv_out16\.", "aux_scores.1."),
    (r"^(aux_scores\.[01])\.conv\.conv\.", r"\1.0."),
    (r"^(aux_scores\.[01])\.conv\.bn\.", r"\1.1."),
    (r"^(aux_scores\.[01])\.conv_out\.", r"\1.4."),
    (r"#conv\.", ".0."),
    (r"#bn\.", ".1."),
)
SPARE = r"^aux_scores\."


class RefinedFusion(nn.Module):
    """Maps side by side, mixed, and added to what a single normalised layer on the means lets through.

    Args:
        channels: Channels of all maps together, and of the result.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = convolve(channels, channels, 1)
        self.gate = AttentionRefinement(channels)

    def forward(self, maps: list[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b o h w"]:
        """Return the gated mixture."""
        mixed: Tensor = self.mix(torch.cat(maps, dim=1))
        return mixed + self.gate(mixed)


@models.register("bisenet")
class BiSeNet(Segmenter):
    """Bilateral segmentation network, version 1.

    While training the output is a dict of ``"out"``, ``"aux_16"`` and ``"aux_8"``, from the context path at
    those strides, which the authors weigh by 1; with ``side=False`` it is ``"out"`` alone, as in evaluation.

    Args:
        classes: Channels of the output.
        encoder: The context path; see ``build_encoder``. Paper: ``"resnet18"``, ``"xception39"``.
        in_channels: Channels of the images.
        pretrained_encoder: Fetch the weights of the published classifier.
        side: Whether there are auxiliary heads, for training.
        aux_width: Channels inside the auxiliary heads; None for the layout's: 256 for the authors' (128 in
            their fast configurations and those with Xception), 64 for CoinCheung's.
        head_width: Channels inside the last head; None for the layout's: 64 for the authors' (256 in their
            configuration of ``"resnet101"``, with ``stem="deep"``), 256 for CoinCheung's.
        layout: ``"authors"``, as TorchSeg; ``"coincheung"``, a popular other one: repeats pixels where the
            authors interpolate, fuses by one normalised layer, and has a wider last head.
        options: The encoder's.

    Raises:
        OptionError: ``layout`` is unknown, or the encoder has no maps at strides 8, 16 and 32.

    Example:
        >>> import torch
        >>> BiSeNet(classes=5, encoder="xception39").eval()(torch.rand(1, 3, 33, 47)).shape
        torch.Size([1, 5, 33, 47])
    """

    aux_weights: ClassVar[Mapping[str, float]] = {"aux_16": 1.0, "aux_8": 1.0}

    def __init__(
        self,
        *,
        classes: int,
        encoder: str = "resnet18",
        in_channels: int = 3,
        pretrained_encoder: bool = False,
        side: bool = True,
        aux_width: int | None = None,
        head_width: int | None = None,
        layout: Literal["authors", "coincheung"] = "authors",
        **options: Any,
    ) -> None:
        super().__init__(classes, in_channels)
        if layout not in ("authors", "coincheung"):
            raise OptionError(f'layout: got {layout!r}, expected "authors" or "coincheung"')
        theirs = layout == "authors"
        self.layout, self.align_corners = layout, theirs
        self.encoder = build_encoder(
            encoder, in_channels=in_channels, pretrained=pretrained_encoder, **options
        )
        self._eight, sixteen, last = (_at(self.encoder, stride) for stride in (8, 16, 32))
        self.encoder.wanted = -self._eight
        deep = [self.encoder.channels[at] for at in (last, sixteen)]
        self._deep = (last, sixteen)
        self.spatial = nn.Sequential(
            convolve(in_channels, INNER, 7, stride=2),
            convolve(INNER, INNER, stride=2),
            convolve(INNER, INNER, stride=2),
            convolve(INNER, WIDTH, 1),
        )
        self.context = convolve(deep[0], WIDTH, 1)
        self.arms = nn.ModuleList(
            nn.Sequential(convolve(channels, WIDTH), AttentionRefinement(WIDTH)) for channels in deep
        )
        self.refines = nn.ModuleList(convolve(WIDTH, WIDTH) for _ in deep)
        self.fusion = FeatureFusion((WIDTH, WIDTH)) if theirs else RefinedFusion(2 * WIDTH)
        last_width = whole("head_width", (64 if theirs else 256) if head_width is None else head_width)
        self.scores = side_head(2 * WIDTH, last_width, classes, dropout=0.0)
        inner = whole("aux_width", (256 if theirs else 64) if aux_width is None else aux_width)
        self.aux_scores = nn.ModuleList(
            side_head(WIDTH, inner, classes, dropout=0.0) for _ in range(2 if side else 0)
        )
        self.aux = ("aux_16", "aux_8") if side else ()
        for name, child in self.named_children():
            if name != "encoder":
                child.apply(_initialise)

    def heads(self, x: Float[Tensor, "b c h w"]) -> dict[str, Tensor]:
        """Return the logits of both paths and, while training, of the context path at two strides."""
        maps = self.encoder(x)
        coarse = [maps[at] for at in self._deep]
        flow = self.context(mean(coarse[0], 2, 3))  # one value a channel: what the whole image is like
        refined = []
        for each, finer, arm, refine in zip(
            coarse, (coarse[1], maps[self._eight]), self.arms, self.refines, strict=True
        ):
            flow = refine(self._enlarged(arm(each) + flow, finer))
            refined.append(flow)
        detail = self.spatial(x)
        logits = {"out": self.scores(self.fusion([detail, resized(flow, detail)]))}
        if self.training:
            for name, head, each in zip(self.aux, self.aux_scores, refined, strict=False):
                logits[name] = head(each)
        return logits

    def _enlarged(self, x: Tensor, like: Tensor) -> Tensor:
        if self.layout == "authors":
            return resized(x, like, align_corners=True)
        return nn.functional.interpolate(x, size=like.shape[2:])

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights in the names of the authors (TorchSeg) or of CoinCheung/BiSeNet under our own."""
        rules = AUTHORS if self.layout == "authors" else COINCHEUNG
        return renamed(state, rules, self.state_dict(), spare=SPARE)


def _at(encoder: Encoder, stride: int) -> int:
    """Return the index, counted from the last, of the last map with this stride."""
    found = [number for number, each in enumerate(encoder.strides) if each == stride]
    if not found:
        raise OptionError(
            f"encoder: its maps have strides {', '.join(map(str, encoder.strides))}, "
            "expected 8, 16 and 32 among them"
        )
    return found[-1] - len(encoder.strides)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
