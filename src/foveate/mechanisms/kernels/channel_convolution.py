"""A short convolution along the channels, as ECA's gates have it."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d

from foveate.mechanisms.kernels.eager_cpu import traced


def along_channels(layer: nn.Conv1d, means: Float[Tensor, "b c"]) -> Float[Tensor, "b c"]:
    """Return the convolution of each row, for a ``layer`` from one channel to one, without bias.

    Images as the rows of one picture: beside a map of 14 x 14 a convolution in one dimension takes long.
    """
    if traced(means) or len(means) == 0:
        return layer(means.unsqueeze(1)).squeeze(1)
    weight, padding = layer.weight.unsqueeze(2), (0, layer.kernel_size[0] // 2)
    return conv2d(means[None, None], weight, padding=padding)[0, 0]
