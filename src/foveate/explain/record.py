"""Read the weights of every mechanism in a model while it runs."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from foveate.inputs import expect_model
from foveate.mechanisms.base import MapTap, Mechanism


@contextmanager
def record(model: nn.Module) -> Iterator[Mapping[str, Tensor]]:
    """Record the weights of every mechanism inside a ``with`` block.

    Recording forms weights that fused kernels never form: N*N numbers for N positions. A compiled model runs
    uncompiled inside the block. Afterwards, also after an exception, the model is as it was.

    Args:
        model: Any model; mechanisms are found by their ``MapTap``.

    Yields:
        A mapping that fills as the model runs: path of the mechanism -> its weights in the last forward pass,
        detached, with the axes that the tap states (see ``taps``). A mechanism with several maps
        stands there once per map, by the path of the tap.

    Raises:
        ShapeError: The model is not a module.

    Example:
        >>> from foveate.mechanisms.channel.se import SqueezeExcitation
        >>> model = nn.Sequential(SqueezeExcitation(16))
        >>> with record(model) as maps:
        ...     _ = model(torch.rand(2, 16, 7, 5))
        >>> {path: tuple(weights.shape) for path, weights in maps.items()}
        {'0': (2, 16, 1, 1)}
    """
    expect_model(model)
    maps: dict[str, Tensor] = {}
    with ExitStack() as undo:
        undo.enter_context(uncompiled())
        for path, tap in taps(model).items():
            undo.callback(setattr, tap, "recording", tap.recording)  # as it was: recordings can be nested
            undo.callback(tap.register_forward_hook(_keep(maps, path)).remove)
            tap.recording = True
        yield MappingProxyType(maps)


def taps(model: nn.Module) -> dict[str, MapTap]:
    """Return every tap of ``model`` by the name that ``record`` gives its weights."""
    modules = dict(model.named_modules())
    found = {path: module for path, module in modules.items() if isinstance(module, MapTap)}
    owners = {path: _owner(path, modules) for path in found}
    taps_of = Counter(owners.values())
    return {plain(owners[path] if taps_of[owners[path]] == 1 else path): tap for path, tap in found.items()}


def plain(path: str) -> str:
    """Return a module path without what ``torch.compile`` puts into it."""
    return ".".join(part for part in path.split(".") if part != "_orig_mod")


def uncompiled() -> AbstractContextManager[Any]:
    """Return a context in which compiled models run as written, so that hooks added later are called."""
    if (
        "torch._dynamo" not in sys.modules
    ):  # nothing is compiled yet, and importing the compiler takes seconds
        return nullcontext()
    return torch.compiler.set_stance("force_eager")


def _owner(path: str, modules: Mapping[str, nn.Module]) -> str:
    """Return the path of the outermost mechanism around a tap, or of the tap itself if there is none."""
    parts = path.split(".")
    holders = (".".join(parts[:i]) for i in range(len(parts)))
    return next((holder for holder in holders if isinstance(modules[holder], Mechanism)), path)


def _keep(maps: dict[str, Tensor], path: str) -> Any:
    def hook(_tap: nn.Module, _inputs: object, weights: Tensor) -> None:
        maps[path] = weights.detach()

    return hook
