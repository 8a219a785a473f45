"""The cross-entropy of words with label smoothing, of which a large vocabulary feels every pass over it.

Formula mean over rows of -(1 - s) log p(w) - s mean_v log p(v), for the rows whose word counts
Paper   smoothing: Szegedy et al. Rethinking the Inception Architecture. CVPR 2016. arXiv:1512.00567,
        section 7.
Shapes  logits (R, V), words (R,) -> a number.
Differs not from ``F.cross_entropy``, which runs where this would be no faster. Its backward lays out two
        gradients of (R, V) before it has the third; here the gradient is written once, block by block.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from foveate.mechanisms.kernels.eager_cpu import BLOCK, traced


def word_cross_entropy(
    logits: Float[Tensor, "r v"], words: Int64[Tensor, " r"], *, ignored: int, label_smoothing: float = 0.0
) -> Float[Tensor, ""]:
    """Return the mean loss of the rows whose word is not ``ignored``; NaN if there is none.

    Example:
        >>> word_cross_entropy(torch.zeros(2, 4), torch.tensor([3, -1]), ignored=-1).item()
        1.3862943649291992
    """
    if traced(logits) or logits.dtype not in (torch.float32, torch.float64) or not logits.requires_grad:
        return F.cross_entropy(logits, words, ignore_index=ignored, label_smoothing=label_smoothing)
    found: Tensor = _Smoothed.apply(logits, words, words != ignored, label_smoothing)
    return found


class _Smoothed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, words: Tensor, counts: Tensor, smoothing: float) -> Tensor:
        logs = logits.log_softmax(dim=1)
        words = words.where(counts, 0).unsqueeze(1)
        share = counts.to(logits.dtype) / counts.sum()
        ctx.save_for_backward(logs, words, share)
        ctx.smoothing = smoothing
        gains = (1 - smoothing) * logs.gather(1, words).squeeze(1)
        if smoothing:
            gains += smoothing * logs.mean(dim=1)
        return -gains.where(counts, 0.0).dot(share)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        logs, words, share = ctx.saved_tensors
        smoothing, (rows, classes) = ctx.smoothing, logs.shape
        scale = (grad * share).unsqueeze(1)
        gradient = torch.empty_like(logs)
        step = max(1, BLOCK // classes)
        for first in range(0, rows, step):
            some = slice(first, first + step)
            block = torch.exp(logs[some], out=gradient[some])
            if smoothing:
                block.sub_(smoothing / classes)
            block.mul_(scale[some])
        gradient.scatter_add_(1, words, (smoothing - 1) * scale)
        return gradient, None, None, None
