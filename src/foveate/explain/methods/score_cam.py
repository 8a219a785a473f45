"""Score-CAM: the layer's channels, weighted by the target's logit for the image masked with each channel.

    m_k = A_k scaled to [0, 1] and to the image's grid
    w = softmax over channels of f(x m_k),    map = relu(sum_k w_k A_k)

Paper   Wang et al. Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks. CVPR
        Workshops 2020. arXiv:1910.01279, eq. 6 and 7.
Cost    One run of the model for each channel.
Differs from the paper: nothing; the logit for the baseline image that it subtracts falls out of the softmax.
        The authors' code takes probabilities and no softmax.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from foveate.explain.methods.explanation import Explanation, Reads, explanations
from foveate.explain.question import BATCH, Question, resized

_TINY = 1e-8  # so that a constant channel is a mask of zeros


@explanations.register("score_cam")
@dataclass(frozen=True)
class ScoreCAM(Explanation):
    """Channels weighted by the logit of the image that each of them masks; no gradients."""

    paper: ClassVar[str] = "Wang et al. 2020"
    reads: ClassVar[Reads] = "layer"
    signed: ClassVar[bool] = False

    def __call__(self, question: Question) -> Tensor:
        """Return the maps (B, H, W)."""
        maps = []
        for _, a in question.activations():
            weights = torch.stack([_weights(question, a, row) for row in range(len(a))])
            maps.append(question.on_image((weights[..., None, None] * a).sum(dim=1).relu()))
        return torch.stack(maps).sum(0)


def _weights(question: Question, activations: Tensor, row: int) -> Float[Tensor, " c"]:
    """Return the weight of each channel for one image."""
    own = activations[row]  # c h w
    low, high = own.amin(dim=(1, 2), keepdim=True), own.amax(dim=(1, 2), keepdim=True)
    masks = (own - low) / (high - low + _TINY)
    image = question.images[row]
    logits = []
    for part in masks.split(BATCH):
        on_image = resized_masks(question, part).to(image.dtype)
        rows = torch.full((len(part),), row, device=image.device)
        logits.append(question.logits(image * on_image[:, None], rows))
    return torch.cat(logits).softmax(dim=0)


def resized_masks(question: Question, masks: Float[Tensor, "n h w"]) -> Float[Tensor, "n H W"]:
    """Return masks on the image's grid."""
    return resized(masks, question.size)
