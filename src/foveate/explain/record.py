"""Read the weights of every mechanism in a model while it runs."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import MappingProxyType

import torch
from torch import Tensor, nn

from foveate.inputs import expect_model
from foveate.mechanisms.base import Mechanism
from foveate.mechanisms.map_tap import RECORD, MapTap
from foveate.mechanisms.ranks import as_it_lay
from foveate.mechanisms.switch import SERIAL, Block, replica_number


@contextmanager
def record(model: nn.Module) -> Iterator[Mapping[str, Tensor]]:
    """Record the weights of every mechanism inside a ``with`` block.

    Recording forms weights that fused kernels never form: N*N numbers for N positions. A compiled model runs
    uncompiled inside the block. Only what runs in the block's own thread or task is recorded, so that
    recordings of one model may overlap. Afterwards, also after an exception, the model is as it was.

    Args:
        model: Any model; mechanisms are found by their ``MapTap``.

    Yields:
        A mapping that fills as the model runs: path of the mechanism -> its weights in the last forward pass,
        detached, with the axes that the tap states (see ``taps``). A mechanism with several maps
        has one entry per map, by the path of the tap. Weights with rows (``h``) of a volume have its
        slices (``d``) in front of these; those of a signal have no rows.

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
    found = taps(model)
    recording = _Recording(found.values())  # hooks run in all threads, and each checks whose pass it is
    with ExitStack() as undo:
        for path, tap in found.items():
            undo.callback(tap.register_forward_hook(recording.keep(path)).remove)
        undo.enter_context(RECORD.on(recording))
        yield MappingProxyType(recording.maps)


class _Recording(Block):
    """One block of ``record``, and what it has recorded.

    Several threads run inside one block where ``nn.DataParallel`` splits a batch. Each gives a part; the
    parts of one batch are joined in the order of the batch.
    """

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__(members)
        self.maps: dict[str, Tensor] = {}
        self._parts: dict[str, dict[int, tuple[int, Tensor]]] = {}
        self._lock = threading.Lock()

    def keep(self, path: str) -> Callable[[nn.Module, object, Tensor], None]:
        """Return the hook for the tap that is called ``path``."""

        def hook(tap: nn.Module, _inputs: object, weights: Tensor) -> None:
            if self in RECORD.blocks(tap):  # and this pass belongs to the block
                self.maps[path] = as_it_lay(self._joined(path, tap, weights.detach()), str(tap.axes))

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
