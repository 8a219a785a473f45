"""Read the weights of every attention in a model while it runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from foveate.explain import families
from foveate.explain.families.layout import class_names, family_of
from foveate.explain.recording.choice import DEFAULT_LIMIT, choose
from foveate.explain.recording.function_watch import FunctionWatch
from foveate.explain.recording.gates import Gate, gates_in
from foveate.explain.recording.map_taps import TapReader, taps, uncompiled_path
from foveate.explain.recording.recorded import Recorded
from foveate.explain.recording.recorder import Recorder
from foveate.explain.recording.wrapped_forwards import wrapped_forwards
from foveate.inputs import expect_model
from foveate.mechanisms.map_tap import RECORD, MapTap

__all__ = ["record", "taps", "uncompiled_path"]
families.load()


@contextmanager
def record(
    model: nn.Module,
    *,
    layers: str | Iterable[str] | None = None,
    heads: int | Iterable[int] | Literal["mean"] | None = None,
    queries: int | Iterable[int] | None = None,
    device: str | torch.device | None = None,
    folder: str | Path | None = None,
    limit: int = DEFAULT_LIMIT,
    grad: bool = False,
) -> Iterator[Recorded]:
    """Record the weights of every attention of a model inside a ``with`` block.

    Seen are calls of ``scaled_dot_product_attention``, fused or not; what multiplies values after a softmax
    that a model forms itself; ``nn.MultiheadAttention`` and ``nn.TransformerEncoder``; gates such as those of
    squeeze-and-excitation; and the mechanisms of foveate. The model's output does not change. Recording forms
    weights that fused kernels never form: N*M numbers per head for N queries and M keys. A compiled model
    runs uncompiled inside the block. Only what runs in the block's own thread or task is recorded, so that
    recordings of one model may overlap. Afterwards, also after an exception, the model is as it was.

    Args:
        model: Any model.
        layers: Patterns such as ``"blocks.1*"``, for the paths of the layers to record or of modules around
            them; None for all.
        heads: Heads to keep, by number, or ``"mean"`` for their mean; None for all. Axis ``k``.
        queries: Queries to keep, by number; None for all. They are chosen before the weights are formed,
            wherever the model lets one. Axis ``n``.
        device: Where to keep weights, such as ``"cpu"``; None leaves them where they were computed.
        folder: A folder to write weights to, one NumPy file per call; the tensors are mapped from it.
        limit: The most bytes of weights to keep in memory.
        grad: Also keep the gradients with respect to the weights. ``backward`` must run inside the block.

    Yields:
        A mapping that fills as the model runs: path of the layer -> its weights in the last forward pass,
        detached. ``maps.calls(path)`` has every call with axes, kind and geometry. Weights of queries and
        keys have the axes ``b k n m``, or ``b g k n m`` in windows; those of foveate's mechanisms the axes
        that their tap states (see ``taps``). A mechanism with several maps has one entry per map, by the
        path of the tap. Weights with rows (``h``) of a volume have its slices (``d``) in front of these;
        those of a signal have no rows.

    Raises:
        ShapeError: The model is not a module.
        OptionError: An option has an impossible value.
        SiteError: A pattern matches no module of the model.
        RecordingError: While the model runs: the weights are more than ``limit``, or a layer has no such head
            or query.

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
    choice = choose(model, layers, heads, queries, device, folder, limit, grad)
    recorder = Recorder(model, found.values(), choice)
    with ExitStack() as undo:
        _hook_taps(recorder, found, undo)
        _hook_gates(recorder, undo)
        _hook_inputs(recorder, undo)
        watch = FunctionWatch(recorder)
        undo.enter_context(wrapped_forwards(recorder, watch.aside))
        undo.enter_context(RECORD.on(recorder))
        watch.start()
        undo.callback(watch.stop)
        yield Recorded(model, recorder)


def _hook_taps(recorder: Recorder, found: Mapping[str, MapTap], undo: ExitStack) -> None:
    """Hook every tap; hooks run in all threads, and each checks whose pass it is."""
    reader = TapReader(recorder)
    for path, tap in found.items():
        if recorder.choice.wants(path):
            undo.callback(tap.register_forward_hook(reader.hook(path)).remove)


def _hook_gates(recorder: Recorder, undo: ExitStack) -> None:
    for path, layer, inside, gate in gates_in(recorder.modules):
        if recorder.wants(path):
            undo.callback(inside.register_forward_hook(_gate_hook(recorder, path, layer, gate)).remove)


def _gate_hook(recorder: Recorder, path: str, layer: nn.Module, gate: Gate) -> Any:
    def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        if recorder.here:
            with torch._C.DisableTorchFunction(), torch.no_grad():
                values = gate.taken(layer, output.detach()) if gate.taken else output.detach()
                recorder.keep_as_is(path, values.clone(), gate.axes, "gate", "the model's own")

    return hook


def _hook_inputs(recorder: Recorder, undo: ExitStack) -> None:
    """Note what goes into and comes out of modules that tell families where queries and keys lie."""
    modules = recorder.modules.items()
    declared = [found for _, module in modules if (found := family_of(module)) is not None]
    watched = {name for found in declared for name in found.watch}
    for path, module in modules if declared else ():
        if not path or not watched.isdisjoint(class_names(module)):
            hook = _input_hook(recorder)
            undo.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)
            if path:
                undo.callback(module.register_forward_hook(_result_hook(recorder)).remove)


def _input_hook(recorder: Recorder) -> Any:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if recorder.here:
            recorder.inputs[module] = (
                tuple(_told(a) for a in args),
                {name: _told(value) for name, value in kwargs.items()},
            )

    return hook


def _result_hook(recorder: Recorder) -> Any:
    def hook(module: nn.Module, _inputs: object, result: object) -> None:
        if recorder.here:
            recorder.results[module] = _told(result)

    return hook


def _told(value: Any) -> Any:
    """Return a tensor's shape, those inside of a sequence, and anything else as it is."""
    if isinstance(value, tuple | list):
        return [_told(part) for part in value]
    return tuple(value.shape) if isinstance(value, Tensor) else value
