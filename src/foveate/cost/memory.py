"""How much memory a forward pass or a training step needs on top of the weights.

On a GPU the allocator keeps count. On the CPU nothing does, and the size of the process says little; so every
tensor storage that is created during the pass is followed until it is freed. The result is the same every
time. Scratch memory inside a kernel is not counted.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from foveate.cost.one_pass import run_once
from foveate.inputs import Example
from foveate.mechanisms.switch import uncompiled
from foveate.nested_tensors import tensors_in
from foveate.running import untouched


def peak_memory(model: nn.Module, example: Example, *, training: bool) -> int:
    """Return the most bytes that are alive at once during one pass, without the weights and the input.

    Args:
        model: Any module; it is left as it was.
        example: An input as the model takes it; all of its batch counts.
        training: Forward and backward in training mode, gradients included; else forward in eval mode.

    Example:
        >>> peak_memory(nn.Linear(4, 8), torch.zeros(2, 4), training=False)  # the output: 2 * 8 numbers
        64
    """
    devices = {t.device for t in chain(model.parameters(), tensors_in(example)) if t.device.type == "cuda"}
    with untouched(model, training=training), _no_cycle_collection():
        if devices:
            return _on_cuda(model, example, training, devices)
        known = list(chain(model.parameters(), model.buffers(), tensors_in(example)))
        with uncompiled(), _Tracker(known) as tracker:
            run_once(model, example, training=training)
        return tracker.peak


def _on_cuda(model: nn.Module, example: Example, training: bool, devices: Iterable[torch.device]) -> int:
    before = 0
    for device in devices:
        torch.cuda.reset_peak_memory_stats(device)
        before += torch.cuda.memory_allocated(device)
    run_once(model, example, training=training)
    return sum(torch.cuda.max_memory_allocated(device) for device in devices) - before


@contextmanager
def _no_cycle_collection() -> Iterator[None]:
    """Keep Python's collector of cycles from freeing storages at moments that differ from run to run."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Tracker(TorchDispatchMode):
    """Follow every storage that an operator returns, until it is freed.

    Args:
        known: Tensors whose storages do not count.
    """

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known = {t.untyped_storage()._cdata for t in known}
        self._alive: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[object, ...] = (), kwargs: dict[str, object] | None = None
    ) -> object:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor) and leaf.layout == torch.strided:
                self._follow(leaf.untyped_storage())
        return out

    def _follow(self, storage: torch.UntypedStorage) -> None:
        """Count a new storage; views and in-place results share one that is already counted."""
        address, size = storage._cdata, storage.nbytes()
        if address in self._known or address in self._alive:
            return

        def freed(_: object) -> None:
            del self._alive[address]
            self.live -= size

        self._alive[address] = weakref.ref(storage, freed)
        self.live += size
        self.peak = max(self.peak, self.live)
