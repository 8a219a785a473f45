"""How maps lie in memory, and maps laid out as tokens and back."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def layout_of(x: Tensor) -> torch.memory_format:
    """Return the memory format of a signal, map or volume."""
    last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(x.ndim)
    if last is None or x.is_contiguous() or not x.is_contiguous(memory_format=last):
        return torch.contiguous_format
    return last


def tokens(x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b n c"]:
    """Lay a signal, map or volume out as tokens, row by row, with a last dimension of stride 1.

    The fused CPU kernel asks for that stride and falls back to an N*N matrix silently if it is missing.
    """
    laid_out = x.flatten(2).transpose(1, 2)
    tracing = torch.jit.is_tracing()  # type: ignore[attr-defined]
    if not tracing and x.shape[1] == 1:  # contiguous whatever its stride: only a copy sets the stride
        return laid_out.clone(memory_format=torch.contiguous_format)
    return laid_out.contiguous()


def untoken(
    context: Float[Tensor, "b n c"], like: Float[Tensor, "b _ *space"]
) -> Float[Tensor, "b c *space"]:
    """Lay tokens out as a signal, map or volume of the size of ``like``."""
    return context.transpose(1, 2).unflatten(2, like.shape[2:])


def like_input(y: Float[Tensor, "b c *space"], x: Float[Tensor, "b _ *space"]) -> Float[Tensor, "b c *space"]:
    """Return ``y`` in the type and memory format of ``x``, for a mechanism that adds no ``x`` to it."""
    return y.to(x.dtype).contiguous(memory_format=layout_of(x))
