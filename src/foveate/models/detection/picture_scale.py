"""At which size a detector sees its pictures: as they are, or with the short side brought to a length."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from foveate.models.normalisation import IMAGENET_MEAN, IMAGENET_STD
from foveate.options import whole

LONGEST = 1333  # pixels of the longer side, torchvision's usual limit


class PictureScale(GeneralizedRCNNTransform):
    """torchvision's transform, which leaves pictures as they are unless a size is asked for.

    Args:
        min_size: The short side in pixels; None to leave a picture as it is.
        max_size: The longest that the other side may be; a longer picture is shrunk.

    Raises:
        OptionError: One is not a whole number above 0.
    """

    def __init__(self, min_size: int | None = None, max_size: int = LONGEST) -> None:
        self.as_it_is = min_size is None
        short = whole("max_size", max_size) if min_size is None else whole("min_size", min_size)
        super().__init__(short, max_size, list(IMAGENET_MEAN), list(IMAGENET_STD))

    def resize(
        self, image: Tensor, target: dict[str, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor] | None]:
        """Return a picture and its boxes at the size that the detector sees."""
        if self.as_it_is and max(image.shape[-2:]) <= self.max_size:
            return image, target
        found: tuple[Tensor, dict[str, Tensor] | None] = super().resize(image, target)
        return found


def scale_pictures(model: nn.Module, min_size: int | None, max_size: int) -> None:
    """Let a detector of torchvision see its pictures at this size."""
    model.transform = PictureScale(min_size, max_size)
