"""Features of torchvision's Inception v3, the usual ones for FID and KID, where its weights are at hand.

Paper   Szegedy, Vanhoucke, Ioffe, Shlens, Wojna. Rethinking the Inception Architecture. CVPR 2016.
        arXiv:1512.00567. The 2048 numbers before the last layer, of pictures resized to 299 pixels.
Differs published FIDs come from TensorFlow's weights of another training: these are near them, not equal.
Shapes  images float32 (B, 3, S, S) in [-1, 1] -> features (B, 2048).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.errors import OptionError
from foveate.models.weights import read_weights

INCEPTION = "torchvision's Inception v3"
FILE = "inception_v3_google-0cc3c7bd.pth"
_SIDE = 299
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class InceptionNet(nn.Module):
    """The network without its last layer.

    Args:
        path: The file of its weights, as torchvision publishes them; where torchvision keeps it if None.

    Raises:
        OptionError: It is not there; nothing is fetched.
        CheckpointError: It cannot be read.
    """

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()
        from torchvision.models import inception_v3

        place = path or Path(torch.hub.get_dir()) / "checkpoints" / FILE
        if not place.is_file():
            raise OptionError(
                f"features=inception: its weights are not at {place}, and nothing is fetched. Put "
                f"torchvision's {FILE} there, or leave the option out: a net trained on the data then judges."
            )
        build = cast(Any, inception_v3)
        self.network: nn.Module = build(weights=None, init_weights=False, aux_logits=True)
        self.network.load_state_dict(read_weights(place))
        self.network.fc = nn.Identity()
        self.eval()

    def features(self, images: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b 2048"]:
        """Return the features of pictures."""
        shown = F.interpolate((images + 1) / 2, size=(_SIDE, _SIDE), mode="bilinear", antialias=True)
        mean, std = (shown.new_tensor(values).view(1, 3, 1, 1) for values in (_MEAN, _STD))
        found: Tensor = self.network((shown - mean) / std)
        return found
