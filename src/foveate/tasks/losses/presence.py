"""Presence loss: learn which classes are in an image, beside those of its pixels.

Formula -mean over images and classes of t log sigmoid(x) + (1 - t) log(1 - sigmoid(x)), t = 1 for a class
        with a pixel in the image, else 0.
Paper   Zhang et al. Context Encoding for Semantic Segmentation. CVPR 2018. arXiv:1803.08904, section 3.1.
Absent  a class that is not in an image is learnt as absent; an image without known pixels is left out.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from foveate.data.class_numbers import IGNORE
from foveate.errors import ShapeError
from foveate.tasks.losses.loss import at_least_single, check_classes


def presence(logits: Float[Tensor, "b k"], targets: Int64[Tensor, " b *s"]) -> Float[Tensor, ""]:
    """Return the mean binary cross-entropy of the presence of each class in each image, in nats.

    Args:
        logits: One per class; a single one is of the second of two classes.
        targets: The class of each pixel; 255 to ignore it.

    Raises:
        ShapeError: There is not one row of logits for each image.
        DataError: A target names a class that there is no logit for.

    Example:
        >>> presence(torch.zeros(1, 3), torch.tensor([[[0, 255]]]))
        tensor(0.6931)
    """
    if logits.ndim != 2 or len(logits) != len(targets):
        raise ShapeError(
            f"got logits {tuple(logits.shape)} for {len(targets)} images, expected (B, classes): one logit "
            "for each class of each image."
        )
    classes = max(2, logits.shape[1])
    check_classes(targets, classes)
    item = torch.arange(len(targets), device=targets.device).view(-1, *(1,) * (targets.ndim - 1))
    values = IGNORE + 1
    found = torch.bincount((targets + item * values).flatten(), minlength=len(targets) * values)
    there = found.view(-1, values)[:, :classes] > 0
    known = there.any(dim=1)
    there = there[:, classes - logits.shape[1] :]
    logits = at_least_single(logits)
    each = F.binary_cross_entropy_with_logits(logits, there.to(logits), reduction="none")
    return each.where(known.unsqueeze(1), 0.0).sum() / (known.sum().clamp(min=1) * logits.shape[1])
