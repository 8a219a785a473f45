"""Which operation feeds which inside a mechanism: its forward pass, recorded while it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from foveate.mechanisms.base import Mechanism, Select
from foveate.mechanisms.examples import call, example_inputs
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.switch import as_written
from foveate.nested_tensors import tensors_in
from foveate.running import eval_no_grad

# Operations that move numbers without changing them: what follows is drawn as if it came from before.
SILENT = frozenset(
    "view reshape flatten unflatten transpose permute movedim contiguous clone unsqueeze squeeze expand "
    "expand_as to float double half type_as detach split chunk unbind narrow __getitem__ select t mT "
    "repeat_interleave view_as broadcast_to as_strided swapaxes".split()
)
SIGNS = {"mul": "×", "add": "+", "sub": "−", "rsub": "−", "div": "÷", "truediv": "÷", "neg": "−"}
WORDS = {"amax": "max", "matmul": "matrix product", "bmm": "matrix product", "cat": "concatenate"} | {
    "scaled_dot_product_attention": "softmax(q kᵀ) v",
    "var_mean": "mean and variance",
    "adaptive_max_pool2d": "max pool",
    "adaptive_avg_pool2d": "mean pool",
    "conv1d": "convolution",
    "conv2d": "convolution",
    "conv3d": "convolution",
}
MOST = 48  # operations in a drawing; if there are more, each part of the mechanism is drawn as one


@dataclass(frozen=True)
class Step:
    """One operation of a data flow.

    Args:
        label: What it does, in a word, with the name of the layer that does it.
        shape: Shape of the result, without the batch.
        inputs: The steps whose results it takes, by their place in the flow.
        tap: Whether these are weights that ``fv.record`` returns.
    """

    label: str
    shape: tuple[int, ...]
    inputs: tuple[int, ...]
    tap: bool = False


def dataflow(module: Mechanism, *size: int) -> list[Step]:
    """Run ``module`` once on random numbers and return its steps, in the order in which they ran.

    The inputs come first, the result last. Steps that do not lead to the result are left out, and so are
    those that only change the layout. The module is called in eval mode by its plain formula, and
    left as it was. ``size`` is height and width of its map, or the sides of what else it takes.

    Example:
        >>> from foveate.mechanisms import mechanisms
        >>> [step.label for step in dataflow(mechanisms["se"](64), 7, 7)][:3]
        ['x', 'mean', 'squeeze: 1×1 convolution']
    """
    units = [name for name, child in module.named_modules() if name and not [*child.children()]]
    steps = _trace(module, units, size)
    if len(steps) > MOST:
        parts = [name for name, child in module.named_children()]
        steps = _trace(module, parts, size)
    return steps


def _trace(module: Mechanism, units: list[str], size: tuple[int, ...]) -> list[Step]:
    inputs = example_inputs(module, *size, dtype=next(_floats(module), torch.zeros(())).dtype)
    tracer = _Tracer(inputs, dict(module.named_parameters()))
    with eval_no_grad(module), _hooked(module, tracer, units), as_written(), tracer:
        output = call(module, list(inputs.values()))
        if isinstance(module, Select):  # what the selection is for: its patches, counted by their weights
            output = Select.pool(module, output[0].flatten(2), output[2])
    return _leading_to(tracer.source(output), tracer.steps)


def _floats(module: nn.Module) -> Iterator[Tensor]:
    return (tensor for tensor in module.parameters() if tensor.is_floating_point())


class _Tracer(TorchFunctionMode):
    """Record every torch function; what runs inside a unit is one step, recorded when the unit ends."""

    def __init__(self, inputs: Mapping[str, Tensor], parameters: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.names = {id(parameter): name for name, parameter in parameters.items()}
        self.steps = [Step(name, tuple(x.shape[1:]), ()) for name, x in inputs.items()]
        self.sources = {id(x): i for i, x in enumerate(inputs.values())}
        self.alive: list[object] = list(inputs.values())  # an id is free again when its tensor dies
        self.inside = 0

    def source(self, tensor: Tensor) -> int | None:
        return self.sources.get(id(tensor))

    def add(self, label: str, taken: object, given: object, *, tap: bool = False) -> None:
        """Record a step from what it took and returned, however nested."""
        results = list(tensors_in(given))
        inputs = tuple(dict.fromkeys(s for t in tensors_in(taken) if (s := self.source(t)) is not None))
        if not results or not (inputs or tap):  # learned weights come from no input
            return
        self.steps.append(Step(label, tuple(results[0].shape[1:]), inputs, tap))
        self.follow(results, len(self.steps) - 1)

    def follow(self, results: list[Tensor], source: int) -> None:
        self.alive += results
        self.sources |= dict.fromkeys(map(id, results), source)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if self.inside or not [*tensors_in(out)]:
            return out
        name = getattr(func, "__name__", "?").strip("_")
        taken = [*args, *(kwargs or {}).values()]
        moved = [s for t in tensors_in(taken) if (s := self.source(t)) is not None]
        if getattr(func, "__name__", "") in SILENT:
            if moved:
                self.follow(list(tensors_in(out)), moved[0])
        else:
            own = [self.names[id(t)] for t in tensors_in(taken) if id(t) in self.names]
            self.add(" ".join([_word(name), *own]), taken, out)
        return out


def _word(name: str) -> str:
    return SIGNS.get(name) or WORDS.get(name) or name.replace("_", " ")


@contextmanager
def _hooked(module: Mechanism, tracer: _Tracer, units: list[str]) -> Iterator[None]:
    """Hook the units, and let every tap form its weights; all undone at the end."""

    def enter(_module: nn.Module, _args: object) -> None:
        tracer.inside += 1

    with ExitStack() as stack:
        for name in units:
            child = module.get_submodule(name)

            def leave(child: nn.Module, args: object, output: object, name: str = name) -> None:
                tracer.inside -= 1
                if not tracer.inside:
                    tracer.add(_name(name, child), args, output, tap=isinstance(child, MapTap))

            stack.callback(child.register_forward_pre_hook(enter).remove)
            stack.callback(child.register_forward_hook(leave).remove)
        for tap in (child for child in module.modules() if isinstance(child, MapTap)):
            stack.callback(setattr, tap, "recording", tap.recording)
            tap.recording = True
        yield


def _name(name: str, child: nn.Module) -> str:
    if isinstance(child, MapTap):
        return f"{name}: the weights, {child.axes}"
    if isinstance(child, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        kernel = "×".join(map(str, child.kernel_size)) + "-wide" * isinstance(child, nn.Conv1d)
        grouped = {child.in_channels: "depthwise ", 1: ""}.get(child.groups, "grouped ")
        return f"{name}: {kernel} {grouped}convolution"
    words = {"BatchNorm": "batch norm", "BatchNorm1d": "batch norm", "LayerNorm": "layer norm"}
    kind = type(child).__name__
    return f"{name}: {words.get(kind, kind.lower() if not [*child.children()] else kind)}"


def _leading_to(last: int | None, steps: list[Step]) -> list[Step]:
    """Keep the inputs and what the result is made of, and renumber the steps."""
    wanted = set() if last is None else {last}
    for place in range(len(steps) - 1, -1, -1):
        if place in wanted:
            wanted.update(steps[place].inputs)
    wanted |= {place for place, step in enumerate(steps) if not step.inputs}
    order = sorted(wanted)
    new = {place: i for i, place in enumerate(order)}
    return [
        Step(s.label, s.shape, tuple(new[i] for i in s.inputs), s.tap)
        for s in (steps[place] for place in order)
    ]
