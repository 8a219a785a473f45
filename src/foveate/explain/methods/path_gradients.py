"""The weighted mean of input gradients over several versions of every image, batch by batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from foveate.explain.question import BATCH, Question


def mean_gradient(question: Question, weights: Tensor, changed: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return the sum over versions of weight times gradient, (B, C, H, W).

    Args:
        question: The images and the model.
        weights: (n,), of each version.
        changed: Gets the number of the version and of the image, (m,) both, and returns these images.
    """
    count, images = len(weights), len(question.images)
    pairs = torch.arange(count * images, device=weights.device)  # an image's versions lie side by side
    total: Tensor | None = None
    for part in pairs.split(BATCH):
        rows, versions = part // count, part % count
        gradients = question.input_gradients(changed(versions, rows), rows)
        weighted = gradients * weights[versions, None, None, None].to(gradients.dtype)
        if total is None:
            total = weighted.new_zeros(images, *weighted.shape[1:])
        total.index_add_(0, rows, weighted)
    assert total is not None
    return total
