"""Turn the weights of any mechanism into one map over positions for each image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from foveate.errors import ShapeError


def positions(
    weights: Tensor, axes: str, height: int, width: int, *, classes: Tensor | None = None
) -> Tensor | None:
    """Turn recorded weights into one map over positions for each image.

    Axes other than positions are averaged: channels, heads, the slices of a volume. For pairwise weights the
    map says how much attention each position gets, averaged over the positions that attend.

    Args:
        weights: As ``record`` gives them.
        axes: The axes of the tap that they flowed through.
        height: H of the map that the mechanism got.
        width: W of the map that the mechanism got.
        classes: For weights with an axis of classes, the class to show for each image (B,); None averages.

    Returns:
        (B, H, W), or None if the weights have no positions.

    Raises:
        ShapeError: ``weights`` do not have these axes.
    """
    names = axes.split()
    if len(names) != weights.ndim:
        raise ShapeError(
            f'positions: got weights of shape {tuple(weights.shape)}, expected the axes "{axes}"'
        )
    weights = weights.detach().float()
    if "q" in names and classes is not None:
        index = names.index("q")
        weights = weights.movedim(index, 1)[torch.arange(len(weights)), classes]
        names.remove("q")
    if "m" in names:
        return _looked_at(weights, names, height, width)
    if "n" in names:
        return _mean(weights, names, "b", "n").unflatten(1, (height, width))
    if "h" not in names and "w" not in names:
        return None
    return _resized(_mean(weights, names, *("b", "h", "w")), height, width)


def _looked_at(weights: Tensor, names: list[str], height: int, width: int) -> Tensor | None:
    """Return how much attention each position gets: pairwise weights, averaged over those that attend."""
    if "h" in names and "w" in names:
        return _crossed(_mean(weights, names, "b", "h", "w", "m"), height, width)
    if "c" in names:  # channels that attend to channels
        return None
    looked = _mean(weights, names, "b", "m")
    if looked.shape[1] == height * width + 1:
        looked = looked[:, 1:]  # a class token, or the mean, precedes the positions
    for step in range(1, 1 + max(height, width)):  # keys may be subsampled, by 2 in the non-local block
        rows, columns = -(-height // step), -(-width // step)
        if rows * columns == looked.shape[1]:
            look = _resized(looked.unflatten(1, (rows, columns)), height, width)
            return look / look.sum(dim=(1, 2), keepdim=True)
    return None


def _crossed(weights: Tensor, height: int, width: int) -> Tensor:
    """Sum weights (B, H, W, H+W) over columns and rows at the positions that got them."""
    column, row = weights[..., :height], weights[..., height:]
    looked = column.sum(dim=1).transpose(1, 2) + row.sum(dim=2)  # (B, W, H)^T + (B, H, W)
    return looked / (height * width)


def _mean(weights: Tensor, names: list[str], *keep: str) -> Tensor:
    """Average over all axes but ``keep``, which come out in this order; one that is missing has size 1."""
    kept = [name for name in keep if name in names]
    others = [i for i, name in enumerate(names) if name not in kept]
    if others:
        weights = weights.mean(dim=others)
    weights = weights.permute([[n for n in names if n in kept].index(name) for name in kept])
    for i, name in enumerate(keep):
        weights = weights if name in kept else weights.unsqueeze(i)
    return weights


def _resized(look: Tensor, height: int, width: int) -> Tensor:
    if look.shape[1:] == (height, width):
        return look
    return F.interpolate(look[:, None], (height, width), mode="nearest-exact")[:, 0]
