"""Mean field: every pixel's labels, given the present ones of all others, iterated.

Formula Q <- softmax(-U + sum_m mu_m K_m Q), K_m kernels, mu_m matrices over labels; Q starts as softmax(-U)
Paper   Kraehenbuehl, Koltun. Efficient Inference in Fully Connected CRFs. NeurIPS 2011. arXiv:1210.5644,
        algorithm 1; all pixels are updated at once.
Shapes  logits -U (B, L, H, W) -> logits of Q (B, L, H, W).
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from foveate.models.crf.operators import Filter, planes, rows

_NARROW = 16  # labels below which PyTorch's softmax over the last dimension goes number by number


def mean_field(
    logits: Float[Tensor, "b l h w"],
    kernels: Sequence[tuple[Filter, Float[Tensor, "l l"]]],
    iterations: int,
) -> Float[Tensor, "b l h w"]:
    """Return the logits after some iterations; their softmax is Q.

    Args:
        logits: Those of each pixel by itself: -U, up to a constant per pixel.
        kernels: Each filters Q; the result, times its matrix over labels, is added to ``logits``.
        iterations: How often; 0 returns ``logits``.
    """
    own, matrices = rows(logits).flatten(0, 1), [matrix.to(logits).T for _, matrix in kernels]
    updated = own
    for _ in range(iterations):
        q = planes(_softmax(updated), logits)
        updated = own
        for (kernel, _), matrix in zip(kernels, matrices, strict=True):
            updated = (rows(kernel(q)).flatten(0, 1) @ matrix).add_(updated)
    return planes(updated, logits)


def _softmax(logits: Float[Tensor, "n l"]) -> Float[Tensor, "n l"]:
    """Return probabilities; for few labels step by step, which is six times as fast."""
    if logits.shape[1] >= _NARROW:
        return logits.softmax(dim=1)
    shares = (logits - logits.detach().amax(dim=1, keepdim=True)).exp()
    return shares / shares.sum(dim=1, keepdim=True)
