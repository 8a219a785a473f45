"""Category-consistent loss: pulls features of one class together and those of different classes apart.

Formula with mu_c the mean feature of class c, over the C classes that the batch has:
        variance = mean_c mean_i phi(|x_i - mu_c|) over the pixels i of c, where phi(d) is 0 up to near, then
        (d - near)^2 up to far, then d - far + (far - near)^2;
        distance = mean over ordered pairs a != b of max(0, 2 far - |mu_a - mu_b|)^2; length = mean_c |mu_c|;
        L = variance + distance + length_weight * length.
Paper   Huang et al. CCNet: Criss-Cross Attention for Semantic Segmentation. TPAMI 2020, section 3.3; there on
        the attended map, reduced to 16 channels. Not in the authors' public code.
Absent  only classes that the batch has count; with one class there is no distance; with none the loss is 0.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from foveate.data.class_numbers import IGNORE
from foveate.errors import OptionError
from foveate.options import between
from foveate.tasks.losses.loss import at_least_single, check_classes, check_shapes


def category_consistent(
    features: Float[Tensor, "b c *s"],
    targets: Int64[Tensor, " b *s"],
    *,
    near: float = 0.5,
    far: float = 1.5,
    length_weight: float = 0.001,
) -> Float[Tensor, ""]:
    """Return the category-consistent loss of a map of features.

    Args:
        features: The map, of any number of channels.
        targets: The class of each position of the map, 255 to ignore it. Resize them to the map's size by
            nearest neighbour.
        near: delta_v, distance from its class's mean up to which a feature costs nothing. Paper: 0.5.
        far: delta_d, distance up to which the cost is quadratic, and half the distance up to which means
            repel each other; at least ``near``. Paper: 1.5.
        length_weight: gamma, weight of the length of the means. Paper: 0.001.

    Raises:
        ShapeError: There is not one target for every position.
        OptionError: ``near`` or ``length_weight`` is below 0, or ``far`` below ``near``.

    Example:
        >>> apart = torch.tensor([[[[0.0, 3.0]]]])
        >>> category_consistent(apart, torch.tensor([[[0, 1]]]), length_weight=0)
        tensor(0.)
    """
    check_shapes(features, targets)
    check_classes(targets, IGNORE)
    between("near", near, 0)
    between("length_weight", length_weight, 0)
    if not far >= near:
        raise OptionError(f"far: got {far}, expected at least near={near}")
    known = targets != IGNORE
    x = at_least_single(features).movedim(1, -1)[known]  # n c
    if not len(x):
        return x.sum()
    _, label = targets[known].unique(return_inverse=True)
    pixels = torch.bincount(label).to(x)  # k
    means = x.new_zeros(len(pixels), x.shape[1]).index_add(0, label, x) / pixels.unsqueeze(1)
    d = _length(x - means[label])
    cost = torch.where(d > far, d - far + (far - near) ** 2, (d - near).clamp(min=0).square())
    variance = (cost / pixels[label]).sum() / len(pixels)
    first, second = torch.triu_indices(len(pixels), len(pixels), offset=1, device=x.device)
    gaps = (2 * far - _length(means[first] - means[second])).clamp(min=0).square()
    distance = gaps.sum() / max(1, len(gaps))
    return variance + distance + length_weight * _length(means).mean()


def _length(x: Float[Tensor, "n c"]) -> Float[Tensor, " n"]:
    """Return the Euclidean length, of which the gradient at 0 is 0."""
    squared = x.square().sum(dim=1)
    positive = squared > 0
    return squared.where(positive, 1.0).sqrt().where(positive, 0.0)
