"""EncNet: channels gated by a code of the whole map, which also predicts the classes present.

Paper   Zhang, Dana, Shi, Zhang, Wang, Tyagi, Agrawal. Context Encoding for Semantic Segmentation. CVPR 2018.
        arXiv:1803.08904.
Shapes  images (B, C, H, W) -> logits (B, classes, H, W) and, while training, "presence" (B, classes); the
        gates are on a quarter of the encoder's last channels at stride 8.
Cost    head with 2048 channels in and n classes: 9,438,208 + 542,304 + 1026*n parameters, with presence.
Differs none; presence is predicted in training only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.mechanisms.channel.context_encoding import ContextEncoding
from foveate.models.names import models
from foveate.models.segmentation.blocks import convolve, scores
from foveate.models.segmentation.dilated_segmenter import Dilated, Head, dilated_encoder
from foveate.models.weight_names import Rules, renamed
from foveate.options import reduced

RULES: Rules = (
    (r"^pretrained\.(?!fc\.)", "encoder."),
    (r"^head\.conv5\.", "head.before."),
    (r"^head\.connect\.", "head.lateral."),
    (r"^head\.fusion\.", "head.join."),
    (r"^head\.encmodule\.encoding\.0\.", "head.attention.project."),
    (r"^head\.encmodule\.encoding\.1\.", "head.attention.norm."),
    (r"^head\.encmodule\.encoding\.3\.codewords$", "head.attention.centres"),
    (r"^head\.encmodule\.encoding\.3\.scale$", "head.attention.smoothing"),
    (r"^head\.encmodule\.encoding\.4\.", "head.attention.code_norm."),
    (r"^head\.encmodule\.fc\.0\.", "head.attention.excite."),
    (r"^head\.encmodule\.selayer\.", "head.presence."),
    (r"^head\.conv6\.", "head.scores."),
    (r"^auxlayer\.conv5\.", "side."),
)
AUTHORS = {"stem": "deep"}  # the options of their encoder
SPARE = r"^side\.|^head\.presence\.|^pretrained\.fc\."


class EncodingHead(Head):
    """A convolution, the gates of context encoding, and the scores.

    Args:
        channels: Channels of the maps, the finest first.
        classes: Channels of the output.
        codewords: How many codewords. Paper: 32.
        presence: Whether the code also predicts, while training, which classes are in the image.
        lateral: Whether the two maps before the last are joined to it first, as the authors do for some
            data sets; all three have one size.
        dropout: Share of the channels dropped before the classification. Paper: 0.1.

    Raises:
        OptionError: ``lateral`` with fewer than three maps.

    Example:
        >>> import torch
        >>> EncodingHead((64,), 5)([torch.rand(2, 64, 7, 5)])["presence"].shape
        torch.Size([2, 5])
    """

    def __init__(
        self,
        channels: tuple[int, ...],
        classes: int,
        *,
        codewords: int = 32,
        presence: bool = True,
        lateral: bool = False,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        width = reduced(channels[-1], 4)
        self.before = convolve(channels[-1], width)
        self.lateral, self.join = None, None
        if lateral:
            if len(channels) < 3:
                raise OptionError(f"lateral: got {len(channels)} maps, needs three")
            self.lateral = nn.ModuleList(convolve(c, width, 1) for c in channels[-3:-1])
            self.join = convolve(3 * width, width)
            self.reads = 3
        self.attention = ContextEncoding(width, codewords=codewords)
        self.presence = nn.Linear(width, classes) if presence else None
        self.scores = scores(width, classes, dropout=dropout)
        self.aux = ("presence",) if presence else ()

    def forward(self, maps: list[Float[Tensor, "b _ _ _"]]) -> dict[str, Tensor]:
        """Return the logits and, while training, those of each class being there."""
        x = self.before(maps[-1])
        if self.lateral is not None and self.join is not None:
            beside = [layer(each) for layer, each in zip(self.lateral, maps[-3:-1], strict=True)]
            x = self.join(torch.cat([x, *beside], dim=1))
        code = self.attention.encode(x)
        logits = {"out": self.scores(self.attention.raised(x, code))}
        if self.training and self.presence is not None:
            logits["presence"] = self.presence(code)
        return logits


@models.register("encnet")
class EncNet(Dilated):
    """Context encoding on a dilated residual network.

    While training the output is a dict of ``"out"``; ``"presence"`` (B, classes), the logits of each class
    being in the image at all, unless ``presence=False``, and ``"aux"``, unless ``side=False``. The authors'
    code weighs the first by 0.2 and the second by 0.4.

    Args:
        classes: Channels of the output.
        encoder: See ``build_encoder``. Paper: ``"resnet50"`` and ``"resnet101"``.
        in_channels: Channels of the images.
        output_stride: Stride of the map that is gated. Paper: 8.
        pretrained_encoder: Fetch the weights of the published classifier; the stem is then one convolution.
        side: Whether the second last stage has a classifier of its own, for training.
        presence: Whether the code also predicts, while training, which classes are in the image.
        lateral: Whether the two maps before the last are joined to it, as the authors do for some data sets;
            for output stride 8.
        codewords: How many codewords. Paper: 32.
        dropout: Share of the channels dropped before each classification. Paper: 0.1.
        options: The encoder's. For the plain residual networks ``stem="deep"``, the authors', unless they say
            otherwise.

    Raises:
        OptionError: ``lateral`` with another output stride than 8.

    Example:
        >>> import torch
        >>> EncNet(classes=5, encoder="resnet18").eval()(torch.rand(1, 3, 33, 47)).shape
        torch.Size([1, 5, 33, 47])
    """

    aux_weights: ClassVar[Mapping[str, float]] = {"presence": 0.2, "aux": 0.4}

    def __init__(
        self,
        *,
        classes: int,
        encoder: str = "resnet50",
        in_channels: int = 3,
        output_stride: int = 8,
        pretrained_encoder: bool = False,
        side: bool = True,
        presence: bool = True,
        lateral: bool = False,
        codewords: int = 32,
        dropout: float = 0.1,
        **options: Any,
    ) -> None:
        if lateral and output_stride != 8:
            raise OptionError(f"lateral: needs maps of one size, output_stride=8, got {output_stride}")
        built = dilated_encoder(
            encoder,
            options,
            in_channels=in_channels,
            output_stride=output_stride,
            pretrained=pretrained_encoder,
            authors=AUTHORS,
        )
        head = EncodingHead(
            built.channels,
            classes,
            codewords=codewords,
            presence=presence,
            lateral=lateral,
            dropout=dropout,
        )
        super().__init__(classes, built, head, side=side, dropout=dropout)

    def fitted(self, logits: Tensor, images: Tensor) -> Tensor:
        """Return ``logits`` at the size of ``images``; logits (B, classes) are unchanged."""
        return logits if logits.ndim == 2 else super().fitted(logits, images)

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights in the authors' names (PyTorch-Encoding's) under those of this model."""
        return renamed(state, RULES, self.state_dict(), spare=SPARE)
