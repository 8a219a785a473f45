"""A classifier of large pictures by an overview alone: what selections of patches are compared with.

Formula logits = network(overview of the picture at ``scale``); at scale 1 the network sees every pixel
Paper   none: the baseline of Katharopoulos, Fleuret. ICML 2019. arXiv:1905.03711, section 4.
Shapes  pictures (B, C, H, W) -> logits (B, classes)
Cost    the network's, at the overview's size
Differs our own.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from foveate.large_pictures import LargePictures, as_pictures
from foveate.models.large.patch_network import LARGE, build_patch_network
from foveate.models.names import models
from foveate.models.normalisation import keep_normalisation, model_normalisation
from foveate.models.outputs import main_output
from foveate.options import between, positive


@models.register("downscaled")
class Downscaled(nn.Module):
    """A classifier on the overview of large pictures, which are not decoded for it where they need not be.

    Args:
        classes: Length of the output.
        backbone: The network, by a name that ``create_model`` takes.
        scale: Side of the overview over side of the picture, in (0, 1]; 1 is full resolution.
        in_channels: Channels of the pictures.
        pretrained_encoder: Fetch the network's published weights.

    Raises:
        UnknownNameError: There is no such network.
        OptionError: An option is out of range.

    Example:
        >>> import torch
        >>> Downscaled(classes=10, scale=0.25).eval()(torch.rand(2, 3, 300, 200)).shape
        torch.Size([2, 10])
    """

    takes = LargePictures

    def __init__(
        self,
        *,
        classes: int,
        backbone: str = "patch_convnet",
        scale: float = 0.12,
        in_channels: int = 3,
        pretrained_encoder: bool = False,
    ) -> None:
        super().__init__()
        self.scale = positive("scale", between("scale", scale, 0, 1))
        self.classes = classes
        self.backbone = build_patch_network(backbone, classes, in_channels, pretrained=pretrained_encoder)
        self.default_cfg = {"input_size": (in_channels, LARGE, LARGE)}
        keep_normalisation(self, *model_normalisation(self.backbone))

    def forward(self, x: LargePictures | Float[Tensor, "b c h w"]) -> Float[Tensor, "b q"]:
        """Return logits."""
        return main_output(self.backbone(as_pictures(x).overview(self.scale)))
