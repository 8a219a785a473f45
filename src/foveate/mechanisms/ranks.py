"""Signals (B, C, L), maps (B, C, H, W) and volumes (B, C, D, H, W): what takes which, and how.

Most mechanisms see positions as a set: they are written for maps, and ``any_rank`` lays a signal out as one
row and the slices of a volume one under the other. Those that look at neighbours have the option
``dimensions`` and take their layers from ``convolution(dimensions)``. ``Mechanism.dims`` says what is taken.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Literal, TypeVar, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError

Dimensions = Literal[1, 2, 3]
RANKS = (1, 2, 3)
_SHAPES = {1: "(B, {}, L)", 2: "(B, {}, H, W)", 3: "(B, {}, D, H, W)"}
_WORDS = {1: "signals", 2: "maps", 3: "volumes"}
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)

C = TypeVar("C", bound=type)


def taken(dims: tuple[int, ...], channels: int | str = "C") -> str:
    """Return what a mechanism takes, in words.

    Example:
        >>> taken((1, 2), 64)
        'signals (B, 64, L) or maps (B, 64, H, W)'
    """
    words = [f"{_WORDS[rank]} {_SHAPES[rank].format(channels)}" for rank in dims]
    return " or ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)


def places(x: Tensor) -> tuple[int, ...]:
    """Return the axes of the positions of a map of any rank.

    Example:
        >>> places(torch.rand(2, 3, 4, 5, 6))
        (2, 3, 4)
    """
    return tuple(range(2, x.ndim))


def convolution(dimensions: int) -> type[nn.Conv2d]:
    """Return the convolution for maps with that many axes of positions.

    Raises:
        OptionError: ``dimensions`` is not 1, 2 or 3.
    """
    if dimensions not in RANKS or isinstance(dimensions, bool):
        raise OptionError(f"dimensions: got {dimensions!r}, expected one of {', '.join(map(str, RANKS))}")
    return cast(type[nn.Conv2d], CONVOLUTIONS[RANKS.index(dimensions)])


def of_rank(axes: str, dimensions: int) -> str:
    """Return the axes of weights of a map, of which the last two are rows and columns, for another rank.

    Example:
        >>> of_rank("b 1 h w", 3), of_rank("b c 1 1", 1)
        ('b 1 d h w', 'b c 1')
    """
    *others, rows, columns = axes.split()
    spread = {1: [columns], 2: [rows, columns], 3: ["d" if rows == "h" else "1", rows, columns]}
    return " ".join([*others, *spread[dimensions]])


def flat(x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c h w"]:
    """Lay a signal out as one row, and the slices of a volume one under the other; a map is left as it is."""
    if x.ndim == 3:
        return x.unsqueeze(2)
    return x.flatten(2, 3) if x.ndim == 5 else x


def unflat(y: Float[Tensor, "b o h w"], like: Float[Tensor, "b c *space"]) -> Float[Tensor, "b o *space"]:
    """Lay a map out as ``like`` was before it was laid ``flat``."""
    if like.ndim == 3:
        return y.squeeze(2)
    return y.unflatten(2, like.shape[2:4]) if like.ndim == 5 else y


def flat_size(size: tuple[int, ...]) -> tuple[int, int]:
    """Return height and width of a map of this size once it is laid ``flat``."""
    if len(size) == 1:
        return 1, size[0]
    *slices, height, width = size
    return (slices[0] if slices else 1) * height, width


def any_rank(cls: C) -> C:
    """Let a mechanism that sees positions as a set take signals and volumes too.

    It is called with a map, and its cost is that of a map with the same number of positions. An instance
    whose options give the positions a place sets ``self.dims = (2,)``.
    """
    mechanism = cast(Any, cls)
    mechanism.dims = RANKS
    mechanism.forward = _of_any_rank(mechanism.forward)
    mechanism.cost = _cost_of_any_rank(mechanism.cost)
    return cls


def _of_any_rank(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @functools.wraps(forward, assigned=("__name__", "__qualname__", "__module__", "__doc__"))
    def laid_flat(self: Any, x: Float[Tensor, "b c *space"]) -> Tensor:
        rank = getattr(x, "ndim", 4)
        if rank == 4 or rank - 2 not in self.dims:  # what is not a map at all is explained there
            return forward(self, x)
        self._check_tokens(x)
        y = _remembering(x, functools.partial(forward, self, flat(x)))
        return unflat(y, x) if y.ndim == 4 else y

    return laid_flat


def _cost_of_any_rank(cost: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(cost)
    def of_flat(self: Any, *size: int) -> Any:
        return cost(self, *flat_size(size))

    return of_flat


_SPACE: ContextVar[tuple[int, ...]] = ContextVar("space", default=())


def _remembering(x: Tensor, run: Callable[[], Tensor]) -> Tensor:
    """Return what ``run`` does; a recorder can ask meanwhile what shape ``x`` had."""
    if torch.compiler.is_compiling():
        return run()
    token = _SPACE.set(tuple(x.shape[2:]))
    try:
        return run()
    finally:
        _SPACE.reset(token)


def as_it_lay(weights: Tensor, axes: str) -> Tensor:
    """Return weights with axes such as ``"b 1 h w"`` as the signal or volume lay that they are computed on.

    Those of a volume get an axis of slices in front of the rows, those of a signal lose the rows.
    """
    space, names = _SPACE.get(), axes.split()
    if not space or "h" not in names or len(names) != weights.ndim:
        return weights
    row = names.index("h")
    return weights.squeeze(row) if len(space) == 1 else weights.unflatten(row, space[:2])
