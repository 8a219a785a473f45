"""What Query2Label's authors have from DETR: its sines of rows and columns, and the names of their weights.

Paper   Carion, Massa, Synnaeve, Usunier, Kirillov, Zagoruyko. End-to-End Object Detection with Transformers.
        ECCV 2020. arXiv:2005.12872, appendix A.4; Vaswani et al. NeurIPS 2017. arXiv:1706.03762, section 3.5.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from foveate.errors import CheckpointError

_SLOWEST = 10_000  # how many times slower the last wave is than the first
_LITTLE = 1e-6
_FIRST = "transformer.decoder.layers.0.self_attn."
_LAYER = r"^transformer\.(encoder|decoder)\.layers\.(\d+)\."
_RULES = (
    (r"^input_proj\.", "embed."),
    (r"^query_embed\.weight$", "queries"),
    (r"^fc\.W$", "weight"),
    (r"^fc\.b$", "bias"),
    (r"^transformer\.decoder\.norm\.", "norm."),
    (_LAYER + r"linear1\.", r"\1.\2.forth.widen."),
    (_LAYER + r"linear2\.", r"\1.\2.forth.narrow."),
    (_LAYER + r"norm3\.", r"\1.\2.forth.norm."),
    (_LAYER + r"multihead_attn\.", r"\1.\2.cross."),
    (_LAYER + r"self_attn\.", r"\1.\2.own.attention."),
    (_LAYER + r"norm1\.", r"\1.\2.own.norm."),
    (r"^transformer\.encoder\.layers\.(\d+)\.norm2\.", r"encoder.\1.forth.norm."),
    (r"^transformer\.decoder\.layers\.(\d+)\.norm2\.", r"decoder.\1.norm."),
    (r"\.in_proj_(weight|bias)$", r".project.\1"),
    (r"\.out_proj\.", ".merge."),
)


def detr_sines(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "1 c h w"]:
    """Return sines of every position in the type of ``x``: half the channels of its row, half of its column.

    Rows and columns count from 1 and are scaled so that the last is 2 pi; sine and cosine of a wave stand
    side by side.

    Args:
        x: Gives the size; C is a multiple of 4.

    Example:
        >>> detr_sines(torch.zeros(1, 4, 1, 2))[0, 2:, 0].round(decimals=3).abs().tolist()
        [[0.0, 0.0], [1.0, 1.0]]
    """
    half = x.shape[1] // 2
    waves = _SLOWEST ** (2 * torch.arange(half // 2, dtype=torch.float32, device=x.device) / half)
    rows, columns = (_interleaved(size, waves) for size in x.shape[2:])
    tall = rows.T[:, :, None].expand(-1, -1, x.shape[3])
    wide = columns.T[:, None, :].expand(-1, x.shape[2], -1)
    return torch.cat([tall, wide])[None].to(x.dtype)


def _interleaved(size: int, waves: Float[Tensor, " k"]) -> Float[Tensor, "n d"]:
    places = torch.arange(1, size + 1, dtype=torch.float32, device=waves.device)
    angles = (places / (size + _LITTLE) * 2 * math.pi)[:, None] / waves
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


def from_authors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of the authors' transformer, classes and scores under the names of ``Query2Label``.

    Raises:
        CheckpointError: Classes attend to each other in the first layer of the decoder too.
    """
    if any(name.startswith(_FIRST) for name in state):
        raise CheckpointError(
            "these weights have self-attention in the first layer of the decoder (the authors' "
            "--keep_first_self_attn_dec), which query2label does not have, nor do their published files."
        )
    return {
        _ours(name): value.squeeze(0) if name in ("fc.W", "fc.b") else value for name, value in state.items()
    }


def _ours(name: str) -> str:
    for pattern, replacement in _RULES:
        name = re.sub(pattern, replacement, name)
    return name
