"""Several maps of one size, and their sum under weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from foveate.errors import OptionError
from foveate.mechanisms.kernels.gated import gated


def fitted(maps: Sequence[Tensor]) -> list[Tensor]:
    """Return ``maps`` (B, C, H, W) with the height and width of the first: bilinear, half-pixel centres.

    Example:
        >>> import torch
        >>> [x.shape[2:] for x in fitted([torch.rand(1, 2, 5, 6), torch.rand(1, 2, 3, 3)])]
        [torch.Size([5, 6]), torch.Size([5, 6])]
    """
    return [maps[0], *(resized(x, like=maps[0]) for x in maps[1:])]


def resized(x: Tensor, like: Tensor) -> Tensor:
    """Return a signal, a map or a volume at the size of ``like``: half-pixel centres.

    Example:
        >>> import torch
        >>> resized(torch.rand(1, 2, 3, 3), like=torch.rand(1, 5, 4, 6)).shape
        torch.Size([1, 2, 4, 6])
    """
    size, mode = like.shape[2:], linear(x)
    # An export would hold the sizes to be equal for ever after, as those of the example are.
    if not torch.compiler.is_exporting() and x.shape[2:] == size:
        return x
    return interpolate(x, size=size, mode=mode, align_corners=False)


def linear(x: Tensor) -> str:
    """Return the name of linear resizing for maps of the rank of ``x``."""
    return {3: "linear", 4: "bilinear", 5: "trilinear"}[x.ndim]


def mixture(maps: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Return the sum of ``maps`` (B, C, H, W), each times its entry along axis 1 of ``weights``.

    The weights are (B, S, C or 1, H or 1, W or 1) for S maps.

    Example:
        >>> import torch
        >>> twice = torch.full((1, 2, 1, 1, 1), 2.0)
        >>> mixture([torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1)], twice).item()
        4.0
    """
    terms = [gated(x, weight.to(x.dtype)) for x, weight in zip(maps, weights.unbind(1), strict=True)]
    return sum(terms[1:], terms[0])


def one_width(widths: tuple[int, ...]) -> int:
    """Return the width that all maps have, as a sum of them needs.

    Raises:
        OptionError: They differ.
    """
    if len(set(widths)) > 1:
        raise OptionError(
            f"channels: got {widths}, expected the same number for each map, as they are summed"
        )
    return widths[0]
