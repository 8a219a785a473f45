"""The patch network of attention sampling on large digits: four convolutions and a maximum over places.

Formula f = g / |g|, g = max over places of relu(conv3(relu(conv3(relu(conv3(relu(conv7(x)))))))), without
        padding; logits = W f + b
Paper   Katharopoulos, Fleuret. Processing Megapixel Images with Deep Attention-Sampling Models. ICML 2019.
        arXiv:1905.03711, section 4.1; the sizes are those of the authors' code.
Shapes  images (B, C, H, W), H and W of at least 13 -> logits (B, classes)
Cost    with n = width: parameters n*(49*C + 1) + 3*n*(9*n + 1) + classes*(n + 1); MACs of one channel, n = 32
        and 50 x 50 pixels 47.35 M
Differs the first weights are drawn as PyTorch draws them; the authors' code uses another library.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.errors import ShapeError
from foveate.models.names import models
from foveate.models.normalisation import keep_normalisation
from foveate.options import whole

SMALLEST = 13  # pixels that four convolutions without padding use up, and one
PATCH = 50  # side of the patches that it was made for


@models.register("patch_convnet")
class PatchConvNet(nn.Module):
    """A small network for patches; on a whole picture it is the full-resolution network to compare with.

    Args:
        classes: Length of the output.
        in_channels: Channels of the images.
        width: Channels n of each layer.

    Raises:
        OptionError: A number is not positive and whole.

    Example:
        >>> import torch
        >>> model = PatchConvNet(classes=10, in_channels=1)
        >>> sum(p.numel() for p in model.parameters()), model(torch.rand(2, 1, 50, 50)).shape
        (29674, torch.Size([2, 10]))
    """

    def __init__(self, *, classes: int, in_channels: int = 3, width: int = 32) -> None:
        super().__init__()
        self.in_channels, width = whole("in_channels", in_channels), whole("width", width)
        self.conv1 = nn.Conv2d(in_channels, width, kernel_size=7)
        self.conv2, self.conv3, self.conv4 = (nn.Conv2d(width, width, kernel_size=3) for _ in range(3))
        self.scores = nn.Linear(width, whole("classes", classes))
        self.default_cfg = {"input_size": (in_channels, PATCH, PATCH)}
        keep_normalisation(self, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))  # 0 is what lies outside of a picture

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b q"]:
        """Return logits."""
        if x.ndim != 4 or x.shape[1] != self.in_channels or min(x.shape[2:]) < SMALLEST:
            raise ShapeError(
                f"PatchConvNet: got {tuple(x.shape)}, expected images (B, {self.in_channels}, H, W) of at "
                f"least {SMALLEST} pixels a side. Build it with the in_channels of the images."
            )
        for convolution in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = convolution(x).relu()
        logits: Tensor = self.scores(F.normalize(x.amax(dim=(2, 3)), dim=1))
        return logits
