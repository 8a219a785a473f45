"""Weights of foveate's own mechanisms, which flow through a ``MapTap``."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from foveate.explain.recording.recorder import Recorder
from foveate.mechanisms.base import Mechanism
from foveate.mechanisms.map_tap import RECORD, MapTap
from foveate.mechanisms.ranks import as_it_lay
from foveate.mechanisms.switch import SERIAL, replica_number


def taps(model: nn.Module) -> dict[str, MapTap]:
    """Return every tap of ``model`` by the name that ``record`` gives its weights."""
    modules = dict(model.named_modules())
    found = {path: module for path, module in modules.items() if isinstance(module, MapTap)}
    owners = {path: _owner(path, modules) for path in found}
    taps_of = Counter(owners.values())
    names = {path: owners[path] if taps_of[owners[path]] == 1 else path for path in found}
    return {uncompiled_path(names[path]): tap for path, tap in found.items()}


def uncompiled_path(path: str) -> str:
    """Return a module path without the parts that ``torch.compile`` adds to it."""
    return ".".join(part for part in path.split(".") if part != "_orig_mod")


def _owner(path: str, modules: Mapping[str, nn.Module]) -> str:
    """Return the path of the outermost mechanism around a tap, or of the tap itself if there is none."""
    parts = path.split(".")
    holders = (".".join(parts[:i]) for i in range(len(parts)))
    return next((holder for holder in holders if isinstance(modules[holder], Mechanism)), path)


class TapReader:
    """Hooks for taps.

    Several threads run inside one block where ``nn.DataParallel`` splits a batch. Each gives a part; the
    parts of one batch are joined in the order of the batch.

    Args:
        recorder: Whom the hooks tell.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._parts: dict[str, dict[int, tuple[int, Tensor]]] = {}
        self._lock = threading.Lock()

    def hook(self, path: str) -> Callable[[nn.Module, object, Tensor], None]:
        """Return the hook for the tap that is called ``path``."""

        def hook(tap: nn.Module, _inputs: object, weights: Tensor) -> None:
            if self._recorder in RECORD.blocks(tap):  # and this pass belongs to the block
                axes = str(tap.axes)
                joined = self._joined(path, tap, weights.detach())
                self._recorder.keep_as_is(path, as_it_lay(joined, axes), axes, "tap", "the mechanism's own")

        return hook

    def _joined(self, path: str, tap: nn.Module, weights: Tensor) -> Tensor:
        """Return the weights of the whole batch, as far as its parts have arrived."""
        replica = replica_number(tap)
        if replica is None or not str(tap.axes).startswith("b"):
            return weights
        with self._lock:
            parts = self._parts.setdefault(path, {})
            for number in [n for n, (arrived, _) in parts.items() if arrived < replica]:
                del parts[number]  # arrived before this replica was made: of an earlier batch
            parts[replica] = next(SERIAL), weights
            return torch.cat([parts[n][1].to(weights.device) for n in sorted(parts)])
