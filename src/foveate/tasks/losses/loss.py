"""The interface of a loss of dense labels: logits and the class of every pixel in, one number out.

Shapes  logits (B, K, *S) of any floating type, targets (B, *S) int64 in [0, K), or 255 for ignored pixels;
        S is (H, W) or (D, H, W). One channel stands for two classes: x becomes [0, x], and K is 2.
Rules   computed in float32, or in float64 for float64 inputs; ignored pixels add nothing, and a batch without
        any known pixel gives 0 with zero gradients.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from foveate.data.class_numbers import IGNORE
from foveate.errors import DataError, ShapeError
from foveate.options import check_fields
from foveate.registry import Registry
from foveate.spelling import written


@dataclass(frozen=True)
class Loss(ABC):
    """A loss and its options; equal losses compare and print alike, and ``parse_loss`` reads the print."""

    def __post_init__(self) -> None:
        check_fields(self)

    @abstractmethod
    def __call__(
        self,
        logits: Float[Tensor, "b k *s"],
        targets: Int64[Tensor, " b *t"],
        class_weights: Float[Tensor, " q"] | None = None,
    ) -> Float[Tensor, ""]:
        """Return the loss to minimise.

        Args:
            logits: What the model returned.
            targets: The class of each pixel, 255 to ignore it.
            class_weights: Weight of each class, at least 0; each loss documents how it uses them.

        Raises:
            ShapeError: The shapes do not match each other.
            DataError: A target names a class that there are no logits for.
        """

    def __str__(self) -> str:
        """Return the name and every option that is not the default."""
        return written(losses, self)


losses: Registry[type[Loss]] = Registry("loss")


@dataclass(frozen=True)
class PixelLoss(Loss):
    """A loss that compares the logits of every pixel with its class."""

    def __call__(
        self,
        logits: Float[Tensor, "b k *s"],
        targets: Int64[Tensor, " b *s"],
        class_weights: Float[Tensor, " q"] | None = None,
    ) -> Float[Tensor, ""]:
        """Return the loss to minimise; one channel of logits stands for two classes. See ``Loss``."""
        check_shapes(logits, targets)
        if logits.shape[1] == 1:
            logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
        check_classes(targets, logits.shape[1])
        logits = at_least_single(logits)
        return self.of(logits, targets, weights_like(class_weights, logits))

    @abstractmethod
    def of(
        self,
        logits: Float[Tensor, "b k *s"],
        targets: Int64[Tensor, " b *s"],
        class_weights: Float[Tensor, " k"] | None,
    ) -> Float[Tensor, ""]:
        """Return the loss of checked input: at least two classes, float32 or float64."""


def check_shapes(maps: Tensor, targets: Tensor) -> None:
    """Raise unless there is one target for every position of the maps (B, K, *S).

    Raises:
        ShapeError: The shape or type is another one.
    """
    fits = maps.ndim >= 3 and maps.shape[0] == targets.shape[0] and maps.shape[2:] == targets.shape[1:]
    if not fits or not maps.is_floating_point() or targets.dtype != torch.int64:
        raise ShapeError(
            f"got logits {tuple(maps.shape)} of {maps.dtype} and targets {tuple(targets.shape)} of "
            f"{targets.dtype}, expected floating point (B, K, *S) and int64 (B, *S). Resize the logits to "
            "the size of the targets; convert the targets with .long()."
        )


def check_classes(targets: Tensor, classes: int) -> None:
    """Raise if a target is neither in [0, classes) nor 255.

    Raises:
        DataError: One is; or there are more than 255 classes, so that 255 would be one of them.
    """
    if classes > IGNORE:
        raise DataError(f"got {classes} classes, expected at most {IGNORE}: {IGNORE} marks ignored pixels")
    if torch.compiler.is_compiling() or not targets.numel():
        return
    wrong = (targets < 0) | ((targets >= classes) & (targets != IGNORE))
    if wrong.any():
        found = targets[wrong].unique()[:5].tolist()
        raise DataError(
            f"the targets hold {', '.join(map(str, found))}, but there are logits for classes 0 to "
            f"{classes - 1}. Build the model with more classes, or mark ignored pixels by {IGNORE}."
        )


def at_least_single(x: Tensor) -> Tensor:
    """Return ``x`` in float32, or unchanged if it is float64."""
    return x if x.dtype == torch.float64 else x.float()


def weights_like(class_weights: Tensor | None, logits: Tensor) -> Tensor | None:
    """Return the weights, one a channel, on the device and in the precision of the logits.

    Raises:
        ShapeError: There are more or fewer weights than channels.
    """
    if class_weights is None:
        return None
    if tuple(class_weights.shape) != (logits.shape[1],):
        raise ShapeError(
            f"got class_weights {tuple(class_weights.shape)}, expected ({logits.shape[1]},): one per class"
        )
    return class_weights.to(logits)


def one_hot(targets: Int64[Tensor, " b *s"], like: Float[Tensor, "b k *s"]) -> Float[Tensor, "b k *s"]:
    """Return 1 in the channel of each pixel's class; 0 in all channels of ignored pixels."""
    known = targets != IGNORE
    index = targets.where(known, 0).unsqueeze(1)
    return torch.zeros_like(like).scatter_(1, index, known.unsqueeze(1).to(like))


def pixel_losses(logits: Float[Tensor, "b k *s"], targets: Int64[Tensor, " b *s"]) -> Float[Tensor, " b *s"]:
    """Return -log of each pixel's probability of its class, 0 for ignored pixels."""
    return F.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="none")


def weighted_mean(
    values: Float[Tensor, "*s"], targets: Int64[Tensor, "*s"], class_weights: Float[Tensor, " k"] | None
) -> Float[Tensor, ""]:
    """Return sum_i w_i v_i / sum_i w_i over known pixels, w_i the weight of its class; 0 without any."""
    known = targets != IGNORE
    if class_weights is None:
        return values.where(known, 0.0).sum() / known.sum().clamp(min=1)
    weights = class_weights[targets.where(known, 0)].where(known, 0.0)
    return share((values.where(known, 0.0) * weights).sum(), weights.sum())


def share(part: Tensor, whole: Tensor) -> Tensor:
    """Return ``part / whole``, and 0 where ``whole`` is 0."""
    return part.where(whole != 0, 0.0) / whole.where(whole != 0, 1.0)


def mean_over_classes(
    values: Float[Tensor, "*b k"], counted: Bool[Tensor, "*b k"], class_weights: Float[Tensor, " k"] | None
) -> Float[Tensor, ""]:
    """Return the mean of the counted values, weighted by class; 0 without any."""
    weights = counted.to(values.dtype)
    if class_weights is not None:
        weights = weights * class_weights
    return share((values.where(counted, 0.0) * weights).sum(), weights.sum())
