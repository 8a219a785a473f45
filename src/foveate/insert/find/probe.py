"""Run the example once and note what flows through every module.

The notes are what aliases, sites and plans are made from: which modules ran, in which order and how many
times, what went in and came out, which of them add or join maps in their own ``forward`` (what makes a
residual block), and what every tensor was made from (what makes a skip connection).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from foveate.errors import SiteError
from foveate.inputs import expect_inputs, expect_model
from foveate.insert.find.trace import Trace
from foveate.insert.holder import CHILD
from foveate.nested_tensors import first_tensor, tensors_in
from foveate.running import call_with, eval_seeded, fast_path_off

SIGNAL_LAYERS = (  # what tells that a tensor (B, C, L) is a signal, not tokens (B, N, C)
    nn.Conv1d,
    nn.ConvTranspose1d,
    nn.BatchNorm1d,
    nn.InstanceNorm1d,
    nn.MaxPool1d,
    nn.AvgPool1d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveMaxPool1d,
)
Key = tuple[int, int]  # a tensor as it was at one moment: identity, version


@dataclass
class Call:
    """One module that ran.

    Args:
        path: Its path in the model, ``""`` for the model itself.
        module: The module.
        started: Its place in the order in which modules started.
        ended: Its place in the order of all starts and ends.
        inputs: The tensors that went in: (argument, tensor's key, tensor).
        output: The first tensor that came out.
        plain: Whether it returned one tensor, or a tuple that starts with one.
        arrived: The nodes of ``inputs`` in the trace.
        left: The node of ``output``.
        again: The nodes of what came out when the module ran again.
        adds: The nodes of sums of two maps of one shape in its own ``forward``.
        joins: How many maps it joins there.
        out: The nodes of all tensors with a batch and channels that came out.
    """

    path: str
    module: nn.Module
    started: int
    inputs: list[tuple[str, Key, Tensor]]
    ended: int = -1
    output: Tensor | None = None
    output_key: Key = (0, 0)
    plain: bool = False
    adds: list[int] = field(default_factory=list)
    joins: int = 0
    arrived: list[int] = field(default_factory=list)
    left: int = -1
    again: list[int] = field(default_factory=list)
    out: list[int] = field(default_factory=list)

    @property
    def returns(self) -> int:
        """How many tensors with a batch and channels came out."""
        return len(self.out)

    @property
    def parent(self) -> str:
        """The path of the module that holds this one."""
        return self.path.rpartition(".")[0]

    def holds(self, other: Call) -> bool:
        """Return whether ``other`` ran inside of this call."""
        return self.started < other.started and other.ended < self.ended

    def held(self, clock: int) -> bool:
        """Return whether something happened inside of this call, by the clock."""
        return self.started <= clock < self.ended


@dataclass
class Probe:
    """Everything noted in one run.

    Args:
        calls: Path to its first call, in order of start.
        counts: Path to the number of calls.
        result: What the model returned.
        image: The first image of the example.
        trace: What every tensor was made from.
        rank: Axes of the positions of what comes in: 1 for signals, 2 for images, 3 for volumes and videos.
    """

    calls: dict[str, Call]
    counts: dict[str, int]
    result: object
    image: Tensor
    trace: Trace
    rank: int = 2

    @property
    def batch(self) -> Tensor:
        """What comes in as the first layer takes it: images (B, C, H, W), signals or volumes."""
        arriving = (c.inputs[0][2] for c in self.calls.values() if c.inputs)
        return next((t for t in arriving if t.ndim == 2 + self.rank), self.image)

    def once(self, path: str) -> bool:
        """Return whether a module runs once, or once in every run of a network that the model runs again.

        Such as the encoder that sees an image at several scales; a layer that runs twice in a block does not.
        """
        network = path.partition(".")[0]
        return self.counts[path] == 1 or (network != path and self.counts[path] == self.counts.get(network))

    def ancestors(self, path: str) -> Iterator[Call]:
        """Yield the calls around ``path`` from the nearest to the outermost, the model itself left out."""
        while "." in path:
            path = path.rpartition(".")[0]
            if path in self.calls:
                yield self.calls[path]


def probe(model: nn.Module, example: object) -> Probe:
    """Run ``model`` on ``example`` and return the notes; the model is left as it was found.

    Raises:
        SiteError: The model does not run on the example, or no picture can be found in it.
        ShapeError: The model is not a module, or the example holds no tensor to compute with.
    """
    expect_model(model)
    expect_inputs(example, model)
    images = [t for t in tensors_in(example) if t.ndim in (3, 4, 5) and t.is_floating_point()]
    if not images:
        raise SiteError(
            f"example: got {type(example).__name__} without an image tensor, expected what the model takes, "
            "such as torch.rand(1, 3, 224, 224)"
        )
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise SiteError(
            "got a TorchScript model, into which nothing can be put. Give the model that it was made from, "
            "and trace it (torch.jit.trace) or export it (torch.export) afterwards."
        )
    rank = _rank(model, example, images[0])
    listener = _Listener(rank)
    with ExitStack() as stack:
        stack.enter_context(eval_seeded(model))
        stack.enter_context(fast_path_off())
        for path, module in model.named_modules():
            if CHILD not in path.split("."):
                stack.callback(listener.enter_hook(path, module))
                stack.callback(listener.leave_hook(path, module))
        stack.enter_context(_Operations(listener))
        try:
            result = call_with(model, example)
        except Exception as error:
            raise SiteError(
                f"{type(model).__name__} does not run on the example: {type(error).__name__}: {error}. "
                "Give example= what the model takes."
            ) from error
    return Probe(listener.calls, listener.counts, result, images[0], listener.trace, rank)


def _rank(model: nn.Module, example: object, image: Tensor) -> int:
    """Return how many axes the positions have of what comes in; a list holds images one by one (C, H, W)."""
    if image.ndim == 3 and not isinstance(example, list):
        return 1 if any(isinstance(module, SIGNAL_LAYERS) for module in model.modules()) else 2
    return 3 if image.ndim == 5 else 2


class _Listener:
    """The hooks of one run, and the stack of modules that are running."""

    def __init__(self, rank: int) -> None:
        self.calls: dict[str, Call] = {}
        self.counts: dict[str, int] = {}
        self.running: list[Call] = []
        self.kept: list[Tensor] = []  # alive until the end, so that no identity is used twice
        self.clock = 0
        self.trace = Trace(rank)

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    def enter_hook(self, path: str, module: nn.Module) -> Callable[[], None]:
        def enter(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            named = [(str(i), value) for i, value in enumerate(args)] + list(kwargs.items())
            inputs = [(name, key_of(t), t) for name, value in named for t in tensors_in(value)]
            self.kept += [tensor for _, _, tensor in inputs]
            arrived = [self.trace.number(tensor, self.clock) for _, _, tensor in inputs]
            self.running.append(Call(path, module, self.tick(), inputs, arrived=arrived))

        return module.register_forward_pre_hook(enter, with_kwargs=True).remove

    def leave_hook(self, path: str, module: nn.Module) -> Callable[[], None]:
        def leave(_: nn.Module, args: tuple[Any, ...], output: object) -> None:
            call = self.running.pop()
            call.ended = self.tick()
            call.output = first_tensor(output)
            tensors = [t for t in tensors_in(output) if t.ndim > 2 and t.is_floating_point()]
            call.out = [self.trace.number(t, self.clock) for t in tensors]
            self.kept += tensors
            call.plain = call.output is not None and not isinstance(output, Mapping)
            if call.output is not None:
                call.output_key = key_of(call.output)
                call.left = self.trace.number(call.output, self.clock)
                self.kept.append(call.output)
            self.counts[path] = self.counts.get(path, 0) + 1
            if self.calls.setdefault(path, call) is not call:
                self.calls[path].again.append(call.left)

        return module.register_forward_hook(leave).remove


class _Operations(TorchDispatchMode):
    """Notes every operation, and at the innermost running module sums of two maps of one shape and joins."""

    def __init__(self, listener: _Listener) -> None:
        super().__init__()
        self.listener = listener

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if self.listener.running:
            name, call = func._schema.name, self.listener.running[-1]
            self.listener.trace.note(name, args, dict(kwargs or {}), result, self.listener.clock)
            if name in ("aten::add", "aten::add_") and _same_maps(args[0], args[1]):
                call.adds.append(self.listener.trace.number(result, self.listener.clock))
            elif name == "aten::cat" and len(args[0]) > 1 and self.listener.trace.has_map_axes(result):
                call.joins += 1
        return result


def _same_maps(first: object, second: object) -> bool:
    if not isinstance(first, Tensor) or not isinstance(second, Tensor):
        return False
    return first.ndim >= 3 and first.shape == second.shape


def key_of(tensor: Tensor) -> Key:
    """Return what tells one tensor at one moment from all others: an in-place change makes a new key."""
    return id(tensor), 0 if tensor.is_inference() else tensor._version
