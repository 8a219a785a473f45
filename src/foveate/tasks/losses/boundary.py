"""Boundary loss: probability outside of a class costs in proportion to its distance from the boundary.

Formula L = sum_c w_c mean_i phi_ic p_ic / sum_c w_c over known pixels i; phi_ic is the distance in pixels
        to the nearest pixel of class c for a pixel outside of it, and for a pixel of c 1 minus that to the
        nearest one that is not of c, which is 0 or less; both in the same image.
Paper   Kervadec et al. Boundary Loss for Highly Unbalanced Segmentation. MIDL 2019, equation 5; the distances
        of the authors' code. Below 0 for a good segmentation, and not meant to be used alone: the paper adds
        it to Dice with a small weight, such as ``dice+0.01*boundary``.
Absent  a class that an image does not have, or has everywhere, has no boundary there: phi is 0. Ignored
        pixels count as outside of every class.
Cost    two exact distance transforms for each class of each image, by scipy, on the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64, UInt8
from scipy import ndimage
from torch import Tensor

from foveate.data.class_numbers import IGNORE
from foveate.options import flag
from foveate.tasks.losses.loss import PixelLoss, losses, share


@losses.register("boundary")
@dataclass(frozen=True)
class Boundary(PixelLoss):
    """Mean over classes of the probabilities' mean signed distance, in pixels.

    Args:
        background: Whether class 0 is counted.

    Raises:
        OptionError: ``background`` is neither True nor False.

    Example:
        >>> truth = torch.tensor([[[0, 0, 1, 1]]])
        >>> sure = 100.0 * torch.nn.functional.one_hot(truth).permute(0, 3, 1, 2)
        >>> Boundary()(sure, truth)
        tensor(-0.2500)
    """

    background: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        flag("background", self.background)

    def of(
        self,
        logits: Float[Tensor, "b k *s"],
        targets: Int64[Tensor, " b *s"],
        class_weights: Float[Tensor, " k"] | None,
    ) -> Float[Tensor, ""]:
        """Return the mean over the known pixels and the counted classes."""
        first, classes = 0 if self.background else 1, logits.shape[1]
        labels = targets.to("cpu", torch.uint8).numpy()
        phi = np.stack([signed_distances(image, range(first, classes)) for image in labels])
        known = (targets != IGNORE).unsqueeze(1)
        p = (logits.softmax(dim=1) * known)[:, first:]
        means = (p * torch.from_numpy(phi).to(p)).transpose(0, 1).flatten(1).sum(dim=1)
        means = means / known.sum().clamp(min=1)
        weights = torch.ones_like(means) if class_weights is None else class_weights[first:]
        return share((means * weights).sum(), weights.sum())


def signed_distances(labels: UInt8[np.ndarray, "*s"], classes: range) -> Float32[np.ndarray, " k *s"]:
    """Return the signed distance of every pixel from each class; see the module."""
    distances = np.zeros((len(classes), *labels.shape), dtype=np.float32)
    boxes = ndimage.find_objects(labels.astype(np.int32) + 1)
    present = {c: box for c, box in enumerate(boxes) if box is not None}
    for place, c in enumerate(classes):
        inside = labels == c
        if c in present and not inside.all():
            distances[place] = ndimage.distance_transform_edt(~inside)
            distances[place] -= _depth(inside, present[c])
    return distances


def _depth(inside: Bool[np.ndarray, "*s"], box: tuple[slice, ...]) -> Float[np.ndarray, "*s"]:
    """Return how many pixels deep each pixel lies inside, 0 at the rim; 0 outside.

    The nearest outside pixel always lies in the bounding box enlarged by one row and column on each side.
    """
    near = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in box)
    depth = np.zeros(inside.shape)
    depth[near] = np.maximum(ndimage.distance_transform_edt(inside[near]) - 1, 0)
    return depth
