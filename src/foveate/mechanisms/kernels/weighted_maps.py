"""The sum of several maps of one size, each under its weights."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from foveate.errors import OptionError
from foveate.mechanisms.kernels.gating import gated


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
