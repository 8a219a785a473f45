"""OCNet: object context, which every position gathers from those like it, joined to the map.

Paper   Yuan, Huang, Guo, Zhang, Chen, Wang. OCNet: Object Context for Semantic Segmentation. IJCV 2021.
        arXiv:1809.00916, section 3, the base form.
Shapes  images (B, C, H, W) -> logits (B, classes, H, W); the attention works at stride 8 on a quarter of the
        encoder's last channels.
Cost    head with 2048 channels in, W = 512 and n classes: 9*2048*W + 3*W, 3*W*W/2 + 3*W for the context,
        2*W*W + 3*W to join it, W*n + n.
Differs none from the authors' base form, in training too, where the key's running statistics are updated
        twice a batch; encoder, leaking activations and normalisations as in CCNet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.pairwise.object_context import ObjectContext
from foveate.models.names import models
from foveate.models.segmentation.blocks import THREE_CONVOLUTIONS, convolve, without_dead_scale
from foveate.models.segmentation.dilated_segmenter import Dilated, Head, dilated_encoder
from foveate.models.weight_names import Rules, renamed
from foveate.options import reduced

RULES: Rules = (
    *THREE_CONVOLUTIONS,
    (r"^context\.([01])\.", r"head.before.\1."),
    (r"^context\.2\.stages\.0\.f_key\.", "head.attention.key."),
    (r"^context\.2\.stages\.0\.f_value\.", "head.attention.value."),
    (r"^context\.2\.stages\.0\.W\.", "head.attention.merge."),
    (r"^context\.2\.conv_bn_dropout\.", "head.attention.join."),
    (r"^cls\.", "head.scores."),
    (r"^dsn\.3\.", "side.4."),
    (r"^dsn\.", "side."),
)
TWICE = r"^context\.2\.stages\.0\.f_query\."  # the same layer as f_key, listed again
AUTHORS = {"stem": "deep", "ceil_pool": True, "dilate_first": True}  # the options of their encoder
LEAK = 0.01  # of InPlaceABN


class ObjectContextHead(Head):
    """A convolution, the object context joined to it, and the scores.

    Args:
        channels: Channels of the last map.
        classes: Channels of the output.
        dropout: Share of the channels dropped before the classification. Paper: 0.05.
        leak: Slope of the activations below zero. Authors: 0.01.

    Example:
        >>> import torch
        >>> ObjectContextHead(64, 5)([torch.rand(2, 64, 7, 5)])["out"].shape
        torch.Size([2, 5, 7, 5])
    """

    def __init__(self, channels: int, classes: int, *, dropout: float = 0.05, leak: float = LEAK) -> None:
        super().__init__()
        width = reduced(channels, 4)
        self.before = convolve(channels, width, bias=True, leak=leak)
        self.attention = ObjectContext(width, leak=leak, dropout=dropout, twice=True)
        self.scores = nn.Conv2d(width, classes, kernel_size=1)

    def forward(self, maps: list[Float[Tensor, "b _ _ _"]]) -> dict[str, Tensor]:
        """Return the logits."""
        return {"out": self.scores(self.attention(self.before(maps[-1])))}


@models.register("ocnet")
class OCNet(Dilated):
    """Object context on a dilated residual network.

    While training the output is a dict of ``"out"`` and, unless ``side=False``, ``"aux"``, which the authors
    weigh by 0.4.

    Args:
        classes: Channels of the output.
        encoder: See ``build_encoder``. Paper: ``"resnet101"``.
        in_channels: Channels of the images.
        output_stride: Stride of the map that the attention works on. Paper: 8.
        pretrained_encoder: Fetch the weights of the published classifier; the stem is then one convolution.
        side: Whether the second last stage has a classifier of its own, for training.
        dropout: Share of the channels dropped before each classification. Paper: 0.05.
        options: The encoder's. For the plain residual networks ``stem="deep"``, ``ceil_pool=True`` and
            ``dilate_first=True``, the authors', unless they say otherwise.

    Example:
        >>> import torch
        >>> OCNet(classes=5, encoder="resnet18").eval()(torch.rand(1, 3, 33, 47)).shape
        torch.Size([1, 5, 33, 47])
    """

    aux_weights: ClassVar[Mapping[str, float]] = {"aux": 0.4}

    def __init__(
        self,
        *,
        classes: int,
        encoder: str = "resnet101",
        in_channels: int = 3,
        output_stride: int = 8,
        pretrained_encoder: bool = False,
        side: bool = True,
        dropout: float = 0.05,
        **options: Any,
    ) -> None:
        built = dilated_encoder(
            encoder,
            options,
            in_channels=in_channels,
            output_stride=output_stride,
            pretrained=pretrained_encoder,
            authors=AUTHORS,
        )
        head = ObjectContextHead(built.channels[-1], classes, dropout=dropout)
        super().__init__(classes, built, head, side=side, dropout=dropout, narrow=2, bias=True, leak=LEAK)

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights in the authors' names under those of this model."""
        if any(name.startswith("context.2.") for name in state):
            state = without_dead_scale(state)
        return renamed(state, RULES, self.state_dict(), spare=rf"^side\.|{TWICE}")
