"""Random inputs of the shapes that an interface asks for: to draw, to measure, to try a mechanism."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from foveate.mechanisms.base import Fuse, Gate, Mechanism, Read


def example_inputs(
    module: Mechanism, *size: int, batch: int = 1, steps: int = 1, **options: Any
) -> dict[str, Tensor]:
    """Return the tensors of one call, by name, drawn from N(0, 1).

    Args:
        module: What is to be called, as ``call(module, inputs.values())``.
        size: Height and width of the map, the length of a signal, or depth, height and width of a volume; the
            memory of a read has as many entries as the map has positions.
        batch: How many images.
        steps: How many queries a read gets.
        options: ``dtype``, ``device``, ``generator``: for ``torch.randn``.

    Example:
        >>> from foveate.mechanisms import mechanisms
        >>> {k: tuple(v.shape) for k, v in example_inputs(mechanisms["se"](64), 7, 5).items()}
        {'x': (1, 64, 7, 5)}
    """

    def draw(*shape: int) -> Tensor:
        return torch.randn(batch, *shape, **options)

    if isinstance(module, Fuse):
        return {f"map {i}": draw(c, *size) for i, c in enumerate(module.widths, 1)}
    if isinstance(module, Read):
        query, memory = draw(steps, module.query_channels), draw(math.prod(size), module.channels)
        return {"query": query, "memory": memory}
    x = draw(module.channels, *size)
    if isinstance(module, Gate):  # half the size, as a decoder's next stage has
        return {"x": x, "gating": draw(module.gating, *((side + 1) // 2 for side in size))}
    return {"x": x}


def call(module: Mechanism, tensors: Sequence[Tensor]) -> Tensor:
    """Call ``module`` as its interface asks; of a read return the context alone."""
    output = module(list(tensors)) if isinstance(module, Fuse) else module(*tensors)
    return cast(Tensor, output[0] if isinstance(module, Read) else output)
