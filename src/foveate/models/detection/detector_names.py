"""Which names are detectors that learn from boxes alone."""

from __future__ import annotations

from foveate.errors import OptionError, ShapeError
from foveate.models.names import models, resolve

_FIXED = ("ssd",)  # see every image at one size
_MORE = {"maskrcnn": "masks", "keypointrcnn": "keypoints"}
_ADVICE = (
    "Choose faster_rcnn, fcos or retinanet, with any encoder, such as fcos(encoder=resnet18); or one of "
    "torchvision's, such as fasterrcnn_mobilenet_v3_large_320_fpn."
)


def expect_detector(name: str, min_size: int | None = None) -> None:
    """Raise if a model of this name is clearly no detector, needs more than boxes, or has a size of its own.

    Args:
        name: As ``create_model`` takes it.
        min_size: The short side that was asked for, in pixels, if any.

    Raises:
        ShapeError: It does not detect, or is trained with masks or keypoints.
        OptionError: It sees images at a fixed size, and another was asked for.
    """
    source, bare = resolve(name)
    if source in ("import", "python"):
        return
    if source == "timm" or not _module(source, bare).startswith(
        ("torchvision.models.detection", "foveate.models.detection")
    ):
        raise ShapeError(f"{name}: does not detect. {_ADVICE}")
    more = next((what for start, what in _MORE.items() if bare.startswith(start)), None)
    if more is not None:
        raise ShapeError(f"{name}: is trained with {more}, not with boxes alone. {_ADVICE}")
    if min_size is not None and bare.startswith(_FIXED):
        raise OptionError(
            f"size: got {min_size}, but {name} sees every image at a size of its own. Leave it out."
        )


def _module(source: str, bare: str) -> str:
    if source == "foveate":
        return str(models[bare].__module__)
    import torchvision

    return str(torchvision.models.get_model_builder(bare).__module__)
