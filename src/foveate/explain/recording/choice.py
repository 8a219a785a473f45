"""What a recording keeps, where, and how much of it."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from foveate.errors import OptionError, SiteError, nearest
from foveate.quantities import short
from foveate.typed import quoted

DEFAULT_LIMIT = 4 * 2**30


@dataclass(frozen=True)
class Choice:
    """The options of ``record``, checked.

    Args:
        layers: Patterns that a layer's path, or that of a module around it, must match; None for all.
        heads: Heads to keep; ``"mean"`` for their mean; None for all.
        queries: Queries to keep, by number; None for all.
        device: Where weights are kept; None leaves them where they were computed.
        folder: A folder that weights are written to; None keeps them in memory.
        limit: The most bytes of weights that are kept in memory, and that one call may need.
        grad: Whether gradients with respect to the weights are kept.
    """

    layers: tuple[str, ...] | None = None
    heads: tuple[int, ...] | Literal["mean"] | None = None
    queries: tuple[int, ...] | None = None
    device: torch.device | None = None
    folder: Path | None = None
    limit: int = DEFAULT_LIMIT
    grad: bool = False

    def wants(self, path: str) -> bool:
        """Return whether the layer at a path is to be recorded."""
        return self.layers is None or any(_matches(path, pattern) for pattern in self.layers)


def choose(
    model: nn.Module,
    layers: str | Iterable[str] | None,
    heads: int | Iterable[int] | str | None,
    queries: int | Iterable[int] | None,
    device: str | torch.device | None,
    folder: str | Path | None,
    limit: int,
    grad: bool,
) -> Choice:
    """Check the options of ``record``.

    Raises:
        OptionError: An option has an impossible value.
        SiteError: A pattern matches no module of the model.
    """
    if isinstance(heads, str) and heads != "mean":
        raise OptionError(f'heads: got {quoted(heads)}, expected numbers such as [0, 3], "mean" or None')
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise OptionError(f"limit: got {quoted(limit)}, expected a number of bytes, such as {DEFAULT_LIMIT}")
    if grad and (device is not None or folder is not None):
        raise OptionError(
            "grad: gradients stay beside the weights they belong to. Leave device and folder out."
        )
    return Choice(
        layers=_patterns(model, layers),
        heads="mean" if isinstance(heads, str) else _numbers("heads", heads),
        queries=_numbers("queries", queries),
        device=None if device is None else torch.device(device),
        folder=None if folder is None else Path(folder),
        limit=limit,
        grad=grad,
    )


def too_much(path: str, shape: Sequence[int], axes: str, needed: int, kept: int, limit: int) -> str:
    """Return the message for weights that go beyond the limit."""
    sizes = dict(zip(axes.split(), shape, strict=False))
    told = ", ".join(
        f"{word} {sizes[name]}"
        for name, word in (("n", "queries N ="), ("m", "keys M ="), ("k", "heads h ="), ("g", "windows"))
        if name in sizes
    )
    one = "queries=[0] keeps one query" if sizes.get("n", 1) > 1 else 'heads="mean" keeps one map'
    return (
        f"record: the weights of {path or 'the model'} ({told}, batch {sizes.get('b', 1)}) need "
        f"{short(needed)}B{f' beside {short(kept)}B already kept' if kept else ''}, more than the limit of "
        f'{short(limit)}B. {one}, heads="mean" the mean of all heads, layers="..." fewer layers; '
        f'folder="..." writes them to disk; or raise limit.'
    )


def _patterns(model: nn.Module, layers: str | Iterable[str] | None) -> tuple[str, ...] | None:
    if layers is None:
        return None
    patterns = (layers,) if isinstance(layers, str) else tuple(layers)
    paths = [path for path, _ in model.named_modules()]
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise OptionError(
                f"layers: got {quoted(pattern)}, expected paths such as blocks.0.attn, or *.attn"
            )
        if not any(fnmatch.fnmatchcase(path, pattern) for path in paths):
            raise SiteError(
                f'layers: no module of {type(model).__name__} matches "{pattern}". {nearest(pattern, paths)}'
            )
    return patterns


def _matches(path: str, pattern: str) -> bool:
    parts = path.split(".")
    return any(fnmatch.fnmatchcase(".".join(parts[:n]), pattern) for n in range(len(parts) + 1))


def _numbers(option: str, given: int | Iterable[int] | None) -> tuple[int, ...] | None:
    if given is None:
        return None
    numbers = (given,) if isinstance(given, int) else tuple(given)
    if not numbers or any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in numbers):
        raise OptionError(f"{option}: got {quoted(given)}, expected whole numbers from 0 on, such as [0, 3]")
    return numbers
