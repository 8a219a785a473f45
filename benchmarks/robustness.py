"""What breaks: every mechanism, and those of other libraries, under twenty conditions that users meet.

    python -m benchmarks.robustness                     # all mechanisms, all libraries that are installed
    python -m benchmarks.robustness --names se cbam     # some
    python -m benchmarks.robustness --ours              # without the other libraries

The other libraries come with `pip install "foveate[bench]"`; one that is missing is said. The input is
2x64x14x14 unless a column says otherwise. Parameters that start at zero are moved off zero first: a closed
gate hides faults.
"""

from __future__ import annotations

import argparse
import copy
import inspect
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from benchmarks.peers import Peer, missing, peers
from torch import Tensor, nn

import foveate as fv
from foveate.mechanisms.base import Mechanism, build, options_of
from foveate.mechanisms.examples import call, example_inputs

OURS = "foveate"
CHANNELS, SIDE = 64, 14


class NotApplicableError(Exception):
    """A condition that does not apply, with the reason."""


@dataclass(frozen=True)
class Subject:
    """A module under test.

    Args:
        mechanism: Its name in foveate's registry.
        library: Who made it.
        new: Builds it for a number of channels, with further keywords such as ``dtype``.
        given: Draws the tensors of one call: batch, height, width.
        ask: Calls it and returns the one tensor that counts.
        maps: Whether it takes and returns maps, which have a memory format.
    """

    mechanism: str
    library: str
    new: Callable[..., nn.Module]
    given: Callable[[nn.Module, int, int, int], list[Tensor]]
    ask: Callable[[nn.Module, Sequence[Tensor]], Tensor]
    maps: bool

    def ready(self, channels: int = CHANNELS, **options: object) -> nn.Module:
        """Return a new module in eval mode, with no parameter at a special value."""
        torch.manual_seed(0)
        module = self.new(channels, **options).eval()
        for parameter in module.parameters():
            if not parameter.detach().any():
                nn.init.normal_(parameter, mean=0.4 if parameter.numel() == 1 else 0.0, std=0.1)
        return module


def same(got: Tensor, expected: Tensor, share: float = 1e-4) -> None:
    """Raise unless two results agree to a share of the greatest value."""
    if not got.isfinite().all():
        raise ArithmeticError("inf or nan")
    error = (got.double() - expected.double()).abs().max() / expected.double().abs().max().clamp_min(1e-9)
    if error > share:
        raise ArithmeticError(f"off by {error:.2g} of the greatest value")


def trains(subject: Subject, module: nn.Module, tensors: Sequence[Tensor]) -> None:
    """Raise unless a training step gives finite numbers."""
    tensors = [t.clone().requires_grad_() for t in tensors]
    output = subject.ask(module.train(), tensors)
    output.square().sum().backward()
    grads = [t.grad for t in [*tensors, *module.parameters()] if t.grad is not None]
    if not all(t.isfinite().all() for t in [output, *grads]):
        raise ArithmeticError("inf or nan in the result or a gradient")


def batch_of_one(s: Subject) -> None:
    module = s.ready()
    trains(s, module, s.given(module, 1, SIDE, SIDE))


def not_square(s: Subject) -> None:
    module = s.ready()
    trains(s, module, s.given(module, 2, 12, 20))


def another_size(s: Subject) -> None:
    module = s.ready()
    s.ask(module, s.given(module, 2, SIDE, SIDE))
    if not s.ask(module, s.given(module, 2, 20, 20)).isfinite().all():
        raise ArithmeticError("inf or nan")


def one_position(s: Subject) -> None:
    module = s.ready()
    trains(s, module, s.given(module, 2, 1, 1))


def one_position_one_image(s: Subject) -> None:
    module = s.ready()
    trains(s, module, s.given(module, 1, 1, 1))


def few_channels(s: Subject) -> None:
    module = s.ready(8)
    if any(parameter.numel() == 0 for parameter in module.parameters()):
        raise ValueError("a layer of width 0, silently")
    trains(s, module, s.given(module, 2, SIDE, SIDE))


def odd_channels(s: Subject) -> None:
    module = s.ready(24)
    trains(s, module, s.given(module, 2, SIDE, SIDE))


def bfloat16(s: Subject) -> None:
    module = s.ready()
    tensors = s.given(module, 2, SIDE, SIDE)
    low = s.ask(copy.deepcopy(module).bfloat16(), [t.bfloat16() for t in tensors])
    same(low, s.ask(module, tensors), 0.05)


def autocast(s: Subject) -> None:
    module = s.ready()
    tensors = s.given(module, 2, SIDE, SIDE)
    with torch.autocast("cpu", torch.bfloat16):
        low = s.ask(module, tensors)
    same(low, s.ask(module, tensors), 0.05)


def float16(s: Subject) -> None:
    """Half precision on large numbers: standard deviation 30, the true result well inside its range."""
    module = s.ready().half()
    tensors = [(30 * t).half() for t in s.given(module.float(), 2, SIDE, SIDE)]
    expected = s.ask(module.float(), [t.float() for t in tensors])
    same(s.ask(module.half(), tensors), expected, 0.1)


def channels_last(s: Subject) -> None:
    if not s.maps:
        raise NotApplicableError("takes tokens")
    module = s.ready()
    tensors = s.given(module, 2, 12, 20)
    expected = s.ask(module, tensors)
    output = s.ask(module, [t.contiguous(memory_format=torch.channels_last) for t in tensors])
    same(output, expected)
    if (
        output.ndim == 4
        and output.shape[2] > 1
        and not output.is_contiguous(memory_format=torch.channels_last)
    ):
        raise ValueError("the output is not channels_last")


def strides(s: Subject) -> None:
    module = s.ready()
    tensors = [t.transpose(-1, -2).contiguous().transpose(-1, -2) for t in s.given(module, 2, 12, 20)]
    same(s.ask(module, tensors), s.ask(module, [t.contiguous() for t in tensors]))


def input_unchanged(s: Subject) -> None:
    module = s.ready()
    tensors = s.given(module, 2, SIDE, SIDE)
    before = [t.clone() for t in tensors]
    s.ask(module, tensors)
    if not all(torch.equal(a, b) for a, b in zip(tensors, before, strict=True)):
        raise ValueError("the input is changed")


def empty_batch(s: Subject) -> None:
    module = s.ready()
    if len(s.ask(module, s.given(module, 0, SIDE, SIDE))):
        raise ValueError("something comes out")


def constant_input(s: Subject) -> None:
    module = s.ready()
    trains(s, module, [torch.full_like(t, 0.5) for t in s.given(module, 2, SIDE, SIDE)])


def samples_apart(s: Subject) -> None:
    module = s.ready().double()
    tensors = [t.double() for t in s.given(module, 3, SIDE, SIDE)]
    alone = [s.ask(module, [t[i : i + 1] for t in tensors]) for i in range(3)]
    same(s.ask(module, tensors), torch.cat(alone), 1e-9)


def gradients(s: Subject) -> None:
    module = s.ready().double()
    tensors = [t.double().requires_grad_() for t in s.given(module, 2, 3, 2)]
    torch.autograd.gradcheck(lambda *given: s.ask(module, given), tensors, fast_mode=True)


def device_and_dtype(s: Subject) -> None:
    """Of other libraries it is read off the constructor: their adapters pass no keywords on."""
    if s.library != OURS:
        module = s.new(CHANNELS)
        if not {"device", "dtype"} <= set(
            inspect.signature(type(getattr(module, "inner", module))).parameters
        ):
            raise TypeError("the constructor takes no device and dtype")
        return
    module = s.new(CHANNELS, device="meta", dtype=torch.float64)
    if not all(p.is_meta and p.dtype == torch.float64 for p in module.parameters()):
        raise ValueError("device= or dtype= has no effect")


def one_graph(s: Subject) -> None:
    torch._dynamo.reset()
    module = s.ready()
    tensors = s.given(module, 2, SIDE, SIDE)
    expected = s.ask(module, tensors)
    module.compile(fullgraph=True, backend="aot_eager")
    same(s.ask(module, tensors), expected)


def dynamic(module: nn.Module, tensors: Sequence[Tensor]) -> object:
    kind = getattr(module, "interface", "refine")
    axes = (0, 1) if tensors[0].ndim == 3 else (0, 2, 3)
    each = [dict.fromkeys(axes, torch.export.Dim.DYNAMIC) for _ in tensors]
    return (each,) if kind == "fuse" else tuple(each)


def arguments(module: nn.Module, tensors: list[Tensor]) -> tuple[object, ...]:
    return (tensors,) if getattr(module, "interface", "") == "fuse" else tuple(tensors)


def export(s: Subject) -> None:
    module = s.ready()
    given, other = s.given(module, 2, SIDE, SIDE), s.given(module, 3, 20, 12)
    program = torch.export.export(module, arguments(module, given), dynamic_shapes=dynamic(module, given))
    output = program.module()(*arguments(module, other))
    same(output[0] if isinstance(output, tuple) else output, s.ask(module, other))


def onnx(s: Subject) -> None:
    import onnxruntime

    module, stream = s.ready(), io.BytesIO()
    given, other = s.given(module, 2, SIDE, SIDE), s.given(module, 3, 20, 12)
    torch.onnx.export(
        module, arguments(module, given), dynamo=True, opset_version=18, verbose=False,
        dynamic_shapes=dynamic(module, given),
    ).save(stream)  # fmt: skip
    session = onnxruntime.InferenceSession(stream.getvalue(), providers=["CPUExecutionProvider"])
    feed = {put.name: t.numpy() for put, t in zip(session.get_inputs(), other, strict=True)}
    same(torch.from_numpy(session.run(None, feed)[0]), s.ask(module, other), 1e-3)


COLUMNS: dict[str, Callable[[Subject], None]] = {
    "batch 1": batch_of_one,
    "12×20": not_square,
    "resize": another_size,
    "1×1": one_position,
    "1×1, batch 1": one_position_one_image,
    "24 channels": odd_channels,
    "8 channels": few_channels,
    "bf16": bfloat16,
    "autocast": autocast,
    "fp16": float16,
    "channels last": channels_last,
    "strides": strides,
    "input kept": input_unchanged,
    "empty": empty_batch,
    "constant": constant_input,
    "samples apart": samples_apart,
    "gradcheck": gradients,
    "device, dtype": device_and_dtype,
    "one graph": one_graph,
    "export": export,
    "onnx": onnx,
}


def ours(name: str) -> Subject:
    """Return one of foveate's mechanisms."""
    needed = {"classes": 10, "gating": 32}
    options = {o: v for o, v in needed.items() if o in options_of(fv.mechanisms[name])}

    def given(module: nn.Module, batch: int, height: int, width: int) -> list[Tensor]:
        assert isinstance(module, Mechanism)
        generator = torch.Generator().manual_seed(1)
        return list(example_inputs(module, height, width, batch=batch, steps=3, generator=generator).values())

    def ask(module: nn.Module, tensors: Sequence[Tensor]) -> Tensor:
        torch.manual_seed(5)
        return call(module, tensors)

    maps = fv.mechanisms[name].interface != "read"
    return Subject(
        name, OURS, lambda channels, **more: build(name, channels, **options, **more), given, ask, maps
    )


def theirs(mechanism: str, library: str, peer: Peer) -> Subject:
    """Return another library's module; what takes tokens stands behind an adapter that lays a map out."""
    two = fv.mechanisms[mechanism].interface == "gate"  # theirs takes a gating map of the same shape
    tokens = hasattr(peer(CHANNELS), "read")

    def new(channels: int) -> nn.Module:
        module = peer(channels)
        module.channels = channels
        return module

    def given(module: nn.Module, batch: int, height: int, width: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(1)
        shape = (batch, module.channels, height, width)
        return [torch.randn(shape, generator=generator) for _ in range(1 + two)]

    return Subject(mechanism, library, new, given, lambda module, tensors: module(*tensors), not tokens)


def verdicts(subject: Subject) -> dict[str, str]:
    """Return "" for every condition that a module meets, else what went wrong."""
    found = {}
    for column, condition in COLUMNS.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                condition(subject)
            found[column] = ""
        except NotApplicableError as reason:
            found[column] = f". {reason}"
        except Exception as error:  # whatever another library raises is its answer
            found[column] = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", nargs="*", default=None, help="mechanisms; all if not given")
    parser.add_argument("--ours", action="store_true", help="leave the other libraries out")
    told = parser.parse_args(arguments)
    torch.set_num_threads(1)
    names = told.names or sorted(fv.mechanisms)
    subjects = [ours(name) for name in names]
    if not told.ours:
        print("".join(f"not installed: {library}\n" for library in missing()))
        subjects += [theirs(name, lib, peer) for name in names for lib, peer in peers().get(name, {}).items()]
    report(subjects)


def report(subjects: Sequence[Subject]) -> None:
    """Print a row for each module as it is done, then what every failure said."""
    print("| module | library | " + " | ".join(COLUMNS) + " | fails |")
    print("| --- | --- |" + " --- |" * (len(COLUMNS) + 1))
    messages = []
    for subject in subjects:
        found = verdicts(subject)
        cells = ["+" if not f else "." if f.startswith(". ") else "**x**" for f in found.values()]
        print(
            f"| {subject.mechanism} | {subject.library} | {' | '.join(cells)} | {cells.count('**x**')} |",
            flush=True,
        )
        messages += [
            f"| {subject.mechanism} | {subject.library} | {column} | {text} |"
            for column, text in found.items()
            if text and not text.startswith(". ")
        ]
    if messages:
        print("\n| module | library | condition | message |\n| --- | --- | --- | --- |")
        print("\n".join(messages))


if __name__ == "__main__":
    main()
