"""Softmax attention whose heads are mixed before the softmax and normalised after it, as in ResT.

In blocks of query rows, so that memory grows with N and not with N*M; the explicit matrix for a look at it,
and where a compiler or tracer cannot see a loop over blocks.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from foveate.mechanisms.kernels.softmax_attention import ROWS
from foveate.mechanisms.map_tap import MapTap

EPS = 1e-5  # added to the variance, as nn.InstanceNorm2d does


def attend_mixed(query: Tensor, key: Tensor, value: Tensor, mix: Tensor | None, tap: MapTap) -> Tensor:
    """Return ``IN(softmax(mix(query key^T))) value``; IN takes mean and variance of each head's matrix.

    Args:
        query: (B, K, N, d), scaled.
        key: (B, K, M, d).
        value: (B, K, M, e).
        mix: (K, K, 1, 1), how heads are mixed; None neither mixes nor normalises.
        tap: Gets the weights (B, K, N, M) while it is recording.
    """
    tracing = torch.jit.is_tracing()  # type: ignore[attr-defined]
    if tap.recording or torch.compiler.is_compiling() or tracing:
        weights = _centred(query, key, mix)
        if mix is not None:
            weights = weights * (weights.square().mean(dim=(2, 3), keepdim=True) + EPS).rsqrt()
        return tap(weights) @ value
    rows = query.split(max(1, ROWS // query.shape[1]), dim=2)
    blocks = [checkpoint(_block, part, key, value, mix, use_reentrant=False) for part in rows]
    context = torch.cat([block for block, _ in blocks], dim=2)
    if mix is None:
        return context
    squares = torch.stack([square for _, square in blocks]).sum(dim=0)
    return context * (squares / (query.shape[2] * key.shape[2]) + EPS).rsqrt()


def _centred(query: Tensor, key: Tensor, mix: Tensor | None) -> Tensor:
    """Return weights; of mixed heads less their mean, which is 1/M as their rows sum to 1."""
    energies = query @ key.transpose(2, 3)
    if mix is None:
        return energies.softmax(dim=-1)
    energies = F.conv2d(energies, mix.to(energies.dtype))
    return energies.softmax(dim=-1) - 1 / key.shape[2]


def _block(query: Tensor, key: Tensor, value: Tensor, mix: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return what a block of rows reads, and the sum of the squares of its weights."""
    weights = _centred(query, key, mix)
    return weights @ value, weights.square().sum(dim=(2, 3), keepdim=True)
