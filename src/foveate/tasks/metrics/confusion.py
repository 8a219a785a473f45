"""Which class was taken for which: the confusion matrix, and the overlaps that follow from it."""

from __future__ import annotations

import torch
from jaxtyping import Int64
from torch import Tensor

from foveate.tasks.metrics.counted_metric import known_pixels


def confusion(
    labels: Int64[Tensor, " b *s"], targets: Int64[Tensor, " b *s"], classes: int
) -> Int64[Tensor, "b k k"]:
    """Count each item's pixels by true class (row) and predicted class (column).

    Args:
        labels: The predicted class of each pixel, in [0, classes).
        targets: Its true class, in [0, classes), or 255: ignored.
        classes: K.

    Example:
        >>> confusion(torch.tensor([[0, 1, 1]]), torch.tensor([[0, 0, 255]]), 2)
        tensor([[[1, 1],
                 [0, 0]]])
    """
    batch, known = targets.shape[0], known_pixels(targets)
    item = torch.arange(batch, device=targets.device).view(-1, *(1,) * (targets.ndim - 1))
    cell = ((item * classes + targets) * classes + labels)[known]
    return torch.bincount(cell, minlength=batch * classes**2).view(batch, classes, classes)


def overlap(matrix: Int64[Tensor, "*b k k"]) -> Int64[Tensor, "*b 3 k"]:
    """Return each class's pixels: correct ones, predicted ones, true ones."""
    return torch.stack([matrix.diagonal(dim1=-2, dim2=-1), matrix.sum(dim=-2), matrix.sum(dim=-1)], dim=-2)
