"""Switches that a ``with`` block turns on for some modules, in its own thread or task alone.

``fv.bypass`` and ``fv.record`` are such blocks. What they switch is kept in a context variable, never on the
model: a model that several threads serve is off, or recorded, for the callers inside the block alone, and a
block that ends out of order, as in interleaved generators, ends only itself.
"""

from __future__ import annotations

import inspect
import itertools
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any

import torch
from torch import nn

_GENERATORS = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
_CONTEXTLIB = contextmanager.__code__.co_filename
SERIAL = itertools.count()  # one clock for replicas and what they give


class Block:
    """One ``with`` block.

    Args:
        members: The modules that it switches.

    Attributes:
        open: Whether it has not ended yet. A task or thread that was started inside sees the end too.
    """

    def __init__(self, members: Iterable[nn.Module]) -> None:
        self.members = frozenset(members)
        self.open = True
        self._generator = _generator()

    @property
    def waits(self) -> bool:
        """Whether the block is in a generator that has yielded and waits to be resumed."""
        return self._generator is not None and self._generator.f_back is None

    @property
    def resumed(self) -> bool:
        """Whether the block is in a generator that is running."""
        return self._generator is not None and self._generator.f_back is not None

    def close(self) -> None:
        """End the block, wherever it still counts."""
        self.open, self._generator = False, None


class Switch:
    """What blocks of one kind switch.

    Args:
        name: The kind, such as ``bypass``.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._blocks: ContextVar[tuple[Block, ...]] = ContextVar(name, default=())

    @contextmanager
    def on(self, block: Block) -> Iterator[Block]:
        """Turn the switch on for the block's modules in this context; compiled models run uncompiled."""
        self._blocks.set((*self._blocks.get(), block))
        try:
            with uncompiled():
                yield block
        finally:
            block.close()
            self._blocks.set(tuple(other for other in self._blocks.get() if other.open))

    def blocks(self, module: nn.Module) -> list[Block]:
        """Return the blocks around the calling code that include ``module``.

        With interleaved generators, a block that waits in one of them does not affect another generator
        in a later block of its own.
        """
        if _is_traced():
            return []
        carried: tuple[Block, ...] = module.__dict__.get(f"_{self.name}", ())
        open_here = self._blocks.get()
        if not (open_here or carried):
            return []
        found = [b for b in open_here if b.open and module in b.members]
        if found and found[-1].resumed:
            found = [b for b in found if not b.waits]
        return found + [b for b in carried if b.open]

    def carry(self, module: nn.Module, replica: nn.Module) -> None:
        """Let a replica for another thread, as ``nn.DataParallel`` makes them, know the module's blocks."""
        replica.__dict__[f"_{self.name}"] = tuple(self.blocks(module))
        replica.__dict__["_replica"] = next(SERIAL)


def replica_number(module: nn.Module) -> int | None:
    """Return which replica of a model a module is in, by when it was made; None for the model itself."""
    number: int | None = module.__dict__.get("_replica")
    return number


_AS_WRITTEN: ContextVar[bool] = ContextVar("as_written", default=False)


@contextmanager
def as_written() -> Iterator[None]:
    """Let every mechanism run by its plain formula, to count or draw what it computes without fast paths."""
    token = _AS_WRITTEN.set(True)
    try:
        yield
    finally:
        _AS_WRITTEN.reset(token)


def is_as_written() -> bool:
    """Whether ``as_written`` is on in this context."""
    return _AS_WRITTEN.get()


class _Uncompiled:
    """The number of blocks, in all threads, that keep compiled models from running compiled."""

    def __init__(self) -> None:
        self.count = 0
        self.lock = threading.Lock()
        self.stance = ExitStack()
        self.held = False


_uncompiled = _Uncompiled()


@contextmanager
def uncompiled() -> Iterator[None]:
    """Let compiled models run as written inside a block.

    PyTorch knows one such state for all threads, so the first block sets it and the last one takes it back.
    """
    state = _uncompiled
    with state.lock:
        state.count += 1
        if not state.held and "torch._dynamo" in sys.modules:  # importing the compiler takes seconds
            state.stance.enter_context(torch.compiler.set_stance("force_eager"))
            state.held = True
    try:
        yield
    finally:
        with state.lock:
            state.count -= 1
            if not state.count and state.held:
                state.stance.close()
                state.held = False


def _is_traced() -> bool:
    """Return whether the compiler reads this code, which cannot see in whose block it will run."""
    if not torch.compiler.is_dynamo_compiling():
        return False
    if _uncompiled.count:
        raise RuntimeError(
            "foveate: torch.compile was used for the first time inside of fv.bypass or fv.record. Compile "
            "the model, or import torch._dynamo, before the block."
        )
    return True


def _generator() -> FrameType | None:
    """Return the frame of the generator that contains the ``with`` statement, or None.

    A generator that ``contextlib`` drives is a context manager: its block is its caller's.
    """
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != _CONTEXTLIB:  # what makes the block
        frame = frame.f_back
    while frame is not None and _passes_on(frame):
        frame = frame.f_back
    return frame if frame is not None and frame.f_code.co_flags & _GENERATORS else None


def _passes_on(frame: FrameType) -> bool:
    driven = frame.f_back is not None and frame.f_back.f_code.co_filename == _CONTEXTLIB
    is_generator = bool(frame.f_code.co_flags & _GENERATORS)
    return frame.f_code.co_filename == _CONTEXTLIB or (is_generator and driven)
