"""What the metrics with a true mask share: which pictures have a mask that can be hit or missed."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from foveate.explain.judging.subject import Subject


def masks_of(subject: Subject) -> Bool[Tensor, "b n"]:
    """Return the true masks, one row a picture."""
    if subject.masks is None:
        raise AssertionError("a metric that needs masks is only called with masks")
    return subject.masks.flatten(1).cpu()


def without_mask(inside: Bool[Tensor, "b n"], *, full: bool = False) -> dict[str, Bool[np.ndarray, " b"]]:
    """Return which pictures have no mask to be judged by, by the reason.

    Args:
        inside: The masks.
        full: Whether a mask of the whole picture cannot be judged by either.
    """
    reasons = {"empty mask": ~inside.any(dim=1)}
    if full:
        reasons["mask of the whole picture"] = inside.all(dim=1)
    return {reason: which.numpy() for reason, which in reasons.items()}


def where(kept: dict[str, Bool[np.ndarray, " b"]], each: Tensor) -> Float64[np.ndarray, " b"]:
    """Return values as NaN where a reason says that there is none."""
    found = each.double().cpu().numpy().copy()
    for which in kept.values():
        found[which] = np.nan
    return found


def top(turns: Tensor, count: Tensor) -> Bool[Tensor, "b n"]:
    """Return the ``count`` (B,) pixels of each map whose turn comes first."""
    return turns.cpu() < count[:, None]


def share_of(inside: Bool[Tensor, "b n"]) -> Float64[np.ndarray, " b"]:
    """Return which share of the picture the mask covers: what a map without a clue gets of energy."""
    return inside.double().mean(dim=1).numpy()


def both(first: Tensor, second: Tensor) -> Tensor:
    """Return how many pixels are in both (B,)."""
    return torch.logical_and(first, second).sum(dim=1)
