"""DenseNet as an encoder, under torchvision's names of weights.

Paper   Huang, Liu, van der Maaten, Weinberger. Densely Connected Convolutional Networks. CVPR 2017.
        arXiv:1608.06993.
Shapes  images (B, C, H, W) -> maps at strides 2, 4, 8, 16 and 32; densenet121: 64, 256, 512, 1024 and 1024
        channels.
Cost    6,953,856 parameters for densenet121: the classifier's less its head.
Differs transitions round an odd size up, so that images of any size work; torchvision's round down. Where 32
        divides the size, both are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from foveate.errors import OptionError
from foveate.models.encoders.encoder import STRIDES, Encoder

if TYPE_CHECKING:
    import torchvision


class DenseNetEncoder(Encoder):
    """torchvision's DenseNet without its classifier.

    The maps are those of the stem and of the four dense blocks, each normalised and rectified: what the next
    transition, or the classifier, makes of it first.

    Args:
        network: torchvision's.
        output_stride: 32; a transition averages 2 x 2 positions, which no dilation replaces.

    Raises:
        OptionError: ``output_stride`` is another.
    """

    def __init__(self, network: torchvision.models.DenseNet, *, output_stride: int = 32) -> None:
        super().__init__()
        if output_stride != STRIDES[-1]:
            raise OptionError(f"output_stride: got {output_stride}, expected 32 for a DenseNet")
        self.features = network.features
        for name, layer in self.features.named_children():
            if name.startswith("transition"):
                layer.pool.ceil_mode = True
        norms = ("norm0", *(f"transition{number}" for number in (1, 2, 3)), "norm5")
        parts: list[Any] = [self.features.get_submodule(name) for name in norms]
        self.channels = tuple(getattr(part, "norm", part).num_features for part in parts)
        self.strides, self.in_channels = STRIDES, 3

    def maps(self, x: Float[Tensor, "b c h w"]) -> Iterator[Float[Tensor, "b _ _ _"]]:
        """Yield the maps of the stem and of the four dense blocks."""
        layers: dict[str, Any] = dict(self.features.named_children())
        x = layers["relu0"](layers["norm0"](layers["conv0"](x)))
        yield x
        x = layers["pool0"](x)
        for number in (1, 2, 3):
            transition = layers[f"transition{number}"]
            x = transition.relu(transition.norm(layers[f"denseblock{number}"](x)))
            yield x
            x = transition.pool(transition.conv(x))
        yield F.relu(layers["norm5"](layers["denseblock4"](x)))
