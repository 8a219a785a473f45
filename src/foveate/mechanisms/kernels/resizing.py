"""Maps at another size, by steps that an export and a compiler can keep for any size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate


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
    size, mode = like.shape[2:], linear_mode(x)
    # An export would hold the sizes to be equal for ever after, as those of the example are.
    if not torch.compiler.is_exporting() and x.shape[2:] == size:
        return x
    return interpolate(x, size=size, mode=mode, align_corners=False)


def linear_mode(x: Tensor) -> str:
    """Return the name of linear resizing for maps of the rank of ``x``."""
    return {3: "linear", 4: "bilinear", 5: "trilinear"}[x.ndim]


def stretched(x: Float[Tensor, "b c _ _"], height: int, width: int) -> Float[Tensor, "b c h w"]:
    """Return a map at this size: bilinear, half-pixel centres.

    Compiled for any size it resizes always, which leaves an equal size as it is.
    """
    if not torch.compiler.is_compiling() and x.shape[2:] == (height, width):
        return x
    return interpolate(x, (height, width), mode="bilinear", align_corners=False)


def line_resizing(length: int, size: int, like: Tensor) -> Float[Tensor, "length size"] | None:
    """Return the matrix that resizes a line of ``size`` places to ``length``; None where the two are equal.

    Linear, half-pixel centres. In an export, where no two lengths can be compared, there is always one.
    """
    if not torch.compiler.is_exporting() and length == size:
        return None
    exact = torch.promote_types(like.dtype, torch.float32)
    places = torch.eye(size, device=like.device, dtype=exact).unsqueeze(0)
    return interpolate(places, size=length, mode="linear", align_corners=False)[0].T.to(like.dtype)
