"""Run the example once and record what flows through every module.

The record is what sites and plans are made from: which modules ran, in which order and how many times, what
went in and came out, which of them add or join maps in their own ``forward`` (what makes a residual block),
and what every tensor was made from (what makes a skip connection).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from foveate.errors import SiteError
from foveate.inputs import expect_inputs, expect_model
from foveate.insert.find.recorded_run import Call, Key, Run, Trace, TraceOperations
from foveate.insert.inserted_names import is_inserted_name
from foveate.nested_tensors import first_tensor, tensors_in
from foveate.running import call_with, eval_seeded, fast_path_off

SIGNAL_LAYERS = (  # these show that a tensor (B, C, L) is a signal, not tokens (B, N, C)
    nn.Conv1d,
    nn.ConvTranspose1d,
    nn.BatchNorm1d,
    nn.InstanceNorm1d,
    nn.MaxPool1d,
    nn.AvgPool1d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveMaxPool1d,
)


def probe(model: nn.Module, example: object) -> Run:
    """Run ``model`` on ``example`` and return the record; the model is left as it was found.

    Raises:
        SiteError: The model does not run on the example, or the example holds no image.
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
            "got a TorchScript model, into which nothing can be inserted. Pass the model that it was made "
            "from, and trace it (torch.jit.trace) or export it (torch.export) afterwards."
        )
    rank = _rank(model, example, images[0])
    recorder = _Recorder(rank)
    with ExitStack() as stack:
        stack.enter_context(eval_seeded(model))
        stack.enter_context(fast_path_off())
        for path, module in model.named_modules():
            if not is_inserted_name(path):
                stack.callback(recorder.enter_hook(path, module))
                stack.callback(recorder.leave_hook(path, module))
        stack.enter_context(_Operations(recorder))
        try:
            result = call_with(model, example)
        except Exception as error:
            raise SiteError(
                f"{type(model).__name__} does not run on the example: {type(error).__name__}: {error}. "
                "Pass as example= what the model takes."
            ) from error
    return Run(recorder.calls, recorder.counts, result, images[0], recorder.trace, rank)


def _rank(model: nn.Module, example: object, image: Tensor) -> int:
    """Return how many axes the positions of the input have; a list holds images one by one (C, H, W)."""
    if image.ndim == 3 and not isinstance(example, list):
        return 1 if any(isinstance(module, SIGNAL_LAYERS) for module in model.modules()) else 2
    return 3 if image.ndim == 5 else 2


class _Recorder:
    """The hooks of one run, and the stack of modules that are running."""

    def __init__(self, rank: int) -> None:
        self.calls: dict[str, Call] = {}
        self.counts: dict[str, int] = {}
        self.running: list[Call] = []
        self.alive: list[Tensor] = []  # until the end, so that no identity is used twice
        self.trace = Trace(rank)

    def enter_hook(self, path: str, module: nn.Module) -> Callable[[], None]:
        def enter(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            named = [(str(i), value) for i, value in enumerate(args)] + list(kwargs.items())
            inputs = [(name, key_of(t), t) for name, value in named for t in tensors_in(value)]
            self.alive += [tensor for _, _, tensor in inputs]
            nodes = [self.trace.node_of(tensor) for _, _, tensor in inputs]
            self.running.append(Call(path, module, self.trace.tick(), inputs, input_nodes=nodes))

        return module.register_forward_pre_hook(enter, with_kwargs=True).remove

    def leave_hook(self, path: str, module: nn.Module) -> Callable[[], None]:
        def leave(_: nn.Module, args: tuple[Any, ...], output: object) -> None:
            call = self.running.pop()
            call.ended = self.trace.tick()
            call.output = first_tensor(output)
            tensors = [t for t in tensors_in(output) if t.ndim > 2 and t.is_floating_point()]
            call.output_nodes = [self.trace.node_of(t) for t in tensors]
            self.alive += tensors
            call.returns_tensor = call.output is not None and not isinstance(output, Mapping)
            if call.output is not None:
                call.output_key = key_of(call.output)
                call.output_node = self.trace.node_of(call.output)
                self.alive.append(call.output)
            self.counts[path] = self.counts.get(path, 0) + 1
            if self.calls.setdefault(path, call) is not call:
                self.calls[path].later_output_nodes.append(call.output_node)

        return module.register_forward_hook(leave).remove


class _Operations(TraceOperations):
    """Note, besides, sums of two maps of one shape, and joins, at the innermost module that is running."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__(recorder.trace)
        self.running = recorder.running

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if not self.running:
            return func(*args, **(kwargs or {}))
        result, name = super().__torch_dispatch__(func, types, args, kwargs), func._schema.name
        if name in ("aten::add", "aten::add_") and _are_maps_of_one_shape(args[0], args[1]):
            self.running[-1].adds.append(self.trace.node_of(result))
        elif name == "aten::cat" and len(args[0]) > 1 and self.trace.has_map_axes(result):
            self.running[-1].joins += 1
        return result


def _are_maps_of_one_shape(first: object, second: object) -> bool:
    if not isinstance(first, Tensor) or not isinstance(second, Tensor):
        return False
    return first.ndim >= 3 and first.shape == second.shape


def key_of(tensor: Tensor) -> Key:
    """Return what identifies a tensor at one moment: an in-place change makes a new key."""
    return id(tensor), 0 if tensor.is_inference() else tensor._version
