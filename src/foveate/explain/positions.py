"""Turn the weights of any mechanism into one map over positions for each image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from foveate.errors import ShapeError
from foveate.explain.geometry.places import Places
from foveate.explain.geometry.to_picture import on_cells


def positions(
    weights: Tensor,
    axes: str,
    height: int,
    width: int,
    *,
    classes: Tensor | None = None,
    keys: Places | None = None,
) -> Tensor | None:
    """Turn recorded weights into one map over positions for each image.

    Axes other than positions are averaged: channels, heads, the slices of a volume. For pairwise weights the
    map says how much attention each position gets, averaged over the positions that attend.

    Args:
        weights: As ``record`` gives them.
        axes: The axes of the tap that they flowed through.
        height: H of the map that the mechanism got.
        width: W of the map that the mechanism got.
        keys: Where the keys lie, as ``AttentionMap.geometry.keys`` has it for the attention of other
            libraries. Without it, fewer keys than positions are taken to be every so many rows and columns,
            which holds for foveate's mechanisms and not elsewhere: those of NextViT are stripes.
        classes: For weights with an axis of classes, the class to show for each image (B,); None averages.

    Returns:
        (B, H, W), or None if the weights have no positions.

    Raises:
        ShapeError: ``weights`` do not have these axes, or the keys are others than those whose places are
            given.
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
        return _looked_at(weights, names, height, width) if keys is None else _placed(weights, names, keys)
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
            return _shares(look)
    return None


def _placed(weights: Tensor, names: list[str], keys: Places) -> Tensor:
    """Return how much attention each cell gets from keys whose places are known."""
    looked = _mean(weights, names, "b", *(("g",) if "g" in names else ()), "m")
    looked = looked if "g" in names else looked[:, None]
    if keys.cells is None or looked.shape[2] != keys.entries or keys.groups not in (1, looked.shape[1]):
        raise ShapeError(f"positions: got {looked.shape[2]} keys, and the places of {keys}")
    looked = looked if keys.groups > 1 else looked.mean(dim=1, keepdim=True)
    cells = on_cells(looked, keys).unflatten(1, (keys.height, keys.width))
    return _shares(cells)


def _shares(look: Tensor) -> Tensor:
    """Divide by the sum; weights with signs may cancel out, and are left as they are then."""
    total = look.sum(dim=(1, 2), keepdim=True)
    return look / total.where(total != 0, 1.0)


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
