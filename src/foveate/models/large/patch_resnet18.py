"""A ResNet-18 that ends early: the patch network of iterative patch selection.

Formula the stem and the first stages of ResNet-18, average pooling, logits = W f + b
Paper   Bergner, Lippert, Mahendran. Iterative Patch Selection for High-Resolution Image Recognition. ICLR
        2023. arXiv:2210.13007, section 4: two stages for patches of digits, four for traffic signs.
Shapes  images (B, C, H, W) -> logits (B, classes)
Cost    two stages, C channels: 3,136*C + 673,664 parameters without the head
Differs none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.models.library import torchvision_weights
from foveate.models.names import models
from foveate.models.normalisation import IMAGENET_MEAN, IMAGENET_STD, keep_normalisation
from foveate.options import whole
from foveate.trust import may_download

_WIDTHS = (64, 128, 256, 512)


@models.register("patch_resnet18")
class PatchResNet18(nn.Module):
    """The first stages of torchvision's ResNet-18, whose names its weights keep.

    Args:
        classes: Length of the output.
        in_channels: Channels of the images.
        stages: How many of the four stages it has.
        pretrained_encoder: Fetch the published weights, for images of three channels.

    Raises:
        OptionError: A number is out of range, or weights are asked for that do not fit.

    Example:
        >>> model = PatchResNet18(classes=10, in_channels=1)
        >>> sum(p.numel() for name, p in model.named_parameters() if not name.startswith("fc."))
        676800
    """

    def __init__(
        self, *, classes: int, in_channels: int = 3, stages: int = 2, pretrained_encoder: bool = False
    ) -> None:
        super().__init__()
        import torchvision

        network = torchvision.models.resnet18()
        whole("stages", stages, 1, 4)
        if pretrained_encoder and in_channels != 3:
            raise OptionError("pretrained_encoder: the published weights are for in_channels=3")
        if whole("in_channels", in_channels) != 3:
            network.conv1 = nn.Conv2d(in_channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.conv1, self.bn1, self.relu, self.maxpool = (
            getattr(network, name) for name in ("conv1", "bn1", "relu", "maxpool")
        )
        self.stages = [f"layer{number}" for number in range(1, stages + 1)]
        for name in self.stages:
            self.add_module(name, getattr(network, name))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(_WIDTHS[stages - 1], whole("classes", classes))
        keep_normalisation(self, IMAGENET_MEAN, IMAGENET_STD)
        if pretrained_encoder and may_download():
            own = self.state_dict()
            published = torchvision_weights("resnet18")[0]
            kept = {n: v for n, v in published.items() if n in own and not n.startswith("fc.")}
            self.load_state_dict({**own, **kept})

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b q"]:
        """Return logits."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for name in self.stages:
            x = self.get_submodule(name)(x)
        return cast(Tensor, self.fc(self.avgpool(x).flatten(1)))

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights of the whole ResNet-18 without the stages that this one has not."""
        later = tuple(f"layer{n}." for n in range(1, 5) if f"layer{n}" not in self.stages)
        return {name: value for name, value in state.items() if not name.startswith(later)}
