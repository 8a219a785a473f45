"""Mean field: every pixel's labels, given what the others think at present, several times over.

Formula Q <- softmax(-U + sum_m M_m(Q)), M_m the message of kernel m; Q starts as softmax(-U)
Paper   Kraehenbuehl, Koltun. Efficient Inference in Fully Connected CRFs. NeurIPS 2011. arXiv:1210.5644,
        algorithm 1; all pixels are updated at once.
Shapes  logits -U (B, L, H, W) -> logits of Q (B, L, H, W).
"""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor


def mean_field(
    logits: Float[Tensor, "b l h w"], message: Callable[[Tensor], Tensor], iterations: int
) -> Float[Tensor, "b l h w"]:
    """Return the logits after some iterations; their softmax is Q.

    Args:
        logits: What is thought of each pixel by itself: -U, up to a number a pixel.
        message: Takes Q (B, L, H, W) and returns what all kernels tell every pixel about every label.
        iterations: How often; 0 returns ``logits``.
    """
    updated = logits
    for _ in range(iterations):
        updated = logits + message(_softmax(updated))
    return updated


def _softmax(logits: Float[Tensor, "b l h w"]) -> Float[Tensor, "b l h w"]:
    """Return probabilities that lie side by side in memory, as the filters like them."""
    return logits.permute(0, 2, 3, 1).softmax(dim=-1).permute(0, 3, 1, 2)
