"""The contract: what every mechanism in the registry promises, whatever it computes.

Nothing here names a mechanism. A new one is tested from the moment that it is registered; what it computes is
tested beside this, in ``tests/mechanisms``.
"""

from __future__ import annotations

import ast
import copy
import doctest
import inspect
import io
import math
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import jaxtyping
import pytest
import torch
from beartype import beartype
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from foveate.errors import FoveateError, OptionError, ShapeError
from foveate.mechanisms import mechanisms
from foveate.mechanisms.base import Cost, MapTap, Mechanism, build, header, options_of

NAMES = sorted(mechanisms)
HOME = Path(inspect.getfile(Mechanism)).parent
CLASSES = 11  # unlike any variant
GATING = 12  # channels of the coarser map that drives a gate
STEPS = 3  # queries that read a memory
NEEDED = {"label": {"classes": CLASSES}, "gate": {"gating": GATING}}  # an interface cannot be built without
MODES = pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
EVERY = pytest.mark.parametrize("name", NAMES)
BUILDS = [(name, {}) for name in NAMES] + [
    (n, {o: v}) for n in NAMES for o, v in mechanisms[n].variants.items()
]
EVERY_BUILD = pytest.mark.parametrize(("name", "options"), BUILDS, ids=str)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors as small as these are slower on two threads, the more so on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch jaxtyping off, should the run have it on: it answers first, and does not compile."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def new(name: str, channels: int = 16, *, jitter: bool = True, seed: int = 0, **options: object) -> Mechanism:
    """Build one; ``jitter`` moves what starts at a special value, such as a zero gate, off that value."""
    torch.manual_seed(seed)
    module = build(name, channels, **{**NEEDED.get(mechanisms[name].interface, {}), **options})
    if jitter:
        for parameter in module.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter) + 0.4 * (parameter.numel() == 1)
        for norm in module.modules():
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                norm.running_mean += 0.1 * torch.randn_like(norm.running_mean)
                norm.running_var *= 1 + torch.rand_like(norm.running_var)
    return module.eval()


def image(
    batch: int = 2, channels: int = 16, height: int = 7, width: int = 5, *, seed: int = 1, **options: object
) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, height, width, generator=generator, **options)


def tokens(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


def inputs(
    module: Mechanism, batch: int = 2, height: int = 7, width: int = 5, **options: object
) -> tuple[Tensor, ...]:
    """Random tensors for one call. The coarser map of a gate has half the size, the maps to fuse have one."""
    if module.interface == "fuse":
        return tuple(
            image(batch, c, height, width, seed=i, **options) for i, c in enumerate(module.widths, 1)
        )
    x = image(batch, module.channels, height, width, **options)
    if module.interface == "gate":
        half = ((height + 1) // 2, (width + 1) // 2)
        return x, image(batch, module.gating, *half, seed=2, **options)
    if module.interface == "read":
        return tokens(image(batch, module.query_channels, STEPS, 1, seed=2, **options)), tokens(x)
    return (x,)


def ask(module: nn.Module, tensors: tuple[Tensor, ...], interface: str = "") -> Tensor:
    """Call a mechanism, or what was compiled from it; of a read return the context.

    The same seed each time: a hard choice in training is drawn.
    """
    torch.manual_seed(5)
    kind = interface or module.interface
    output = module(list(tensors)) if kind == "fuse" else module(*tensors)
    return output[0] if kind == "read" else output


def like(tensors: tuple[Tensor, ...], change: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
    return tuple(change(tensor) for tensor in tensors)


def promised(module: Mechanism, tensors: tuple[Tensor, ...]) -> tuple[int, ...]:
    first = tensors[0]
    if module.interface == "read":
        return (*first.shape[:2], module.channels)
    if module.interface == "fuse":
        return (len(first), module.out_channels, *((1, 1) if module.pooled else first.shape[2:]))
    shapes = {"refine": tuple(first.shape), "pool": tuple(first.shape[:2]), "label": (len(first), CLASSES)}
    if module.interface == "gate":
        return (len(first), module.out_channels, *first.shape[2:])
    return shapes[module.interface]


def is_hard(module: Mechanism) -> bool:
    return module.facets.weighting == "hard"


def loss(output: Tensor) -> Tensor:
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(2), dtype=output.dtype)
    return (output * weights).sum()


def taps(module: nn.Module) -> dict[str, MapTap]:
    return {path: child for path, child in module.named_modules() if isinstance(child, MapTap)}


@contextmanager
def recording(module: nn.Module) -> Iterator[dict[str, Tensor]]:
    """What ``fv.record`` does, in a few lines."""
    seen: dict[str, Tensor] = {}
    hooks = []
    for path, tap in taps(module).items():
        tap.recording = True
        hooks.append(tap.register_forward_hook(lambda _m, _i, out, path=path: seen.__setitem__(path, out)))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
        for tap in taps(module).values():
            tap.recording = False


def close(got: Tensor, expected: Tensor, share: float) -> None:
    """Compare by the share of the greatest value, as low precision errs in proportion to what it sums."""
    assert got.isfinite().all()
    error = (got.double() - expected.double()).abs().max() / expected.double().abs().max()
    assert error <= share, f"off by {error:.2g} of the greatest value, allowed {share}"


# 1. Shapes


@EVERY
@MODES
@pytest.mark.parametrize("size", [(7, 5), (1, 1), (1, 9), (12, 20), (8, 8)], ids=str)
@pytest.mark.parametrize("batch", [1, 3])
def test_keeps_the_shape_promise(name: str, training: bool, size: tuple[int, int], batch: int) -> None:
    module = new(name).train(training)
    tensors = like(inputs(module, batch, *size), Tensor.requires_grad_)
    output = ask(module, tensors)
    loss(output).backward()
    assert tuple(output.shape) == promised(module, tensors)
    assert output.isfinite().all()
    grads = [t.grad for t in [*tensors, *module.parameters()]]
    if not is_hard(module):  # a choice has no slope; what a hard read learns from is its own test
        assert all(grad is not None for grad in grads)
    assert all(grad.isfinite().all() for grad in grads if grad is not None)


@EVERY
@pytest.mark.parametrize("channels", [1, 3, 6, 8, 16, 24, 64, 100])
def test_takes_any_number_of_channels(name: str, channels: int) -> None:
    """Also fewer channels than the reduction, and channels that it does not divide."""
    try:
        module = new(name, channels)
    except (
        OptionError
    ) as error:  # heads that do not divide the channels, say: refused when built, with the reason
        assert channels % 8 != 0, "a multiple of 8 must do"
        assert str(channels) in str(error)
        return
    tensors = inputs(module)
    assert tuple(ask(module, tensors).shape) == promised(module, tensors)
    changed = copy.deepcopy(module)
    for parameter in changed.parameters():
        parameter.data += 2 * torch.randn_like(parameter)
    if list(module.parameters()):
        before, after = ask(module, tensors), ask(changed, tensors)
        assert not torch.equal(before, after), "the weights have no effect: is a layer of width 0?"


@EVERY
def test_takes_an_empty_batch(name: str) -> None:
    module = new(name)
    tensors = inputs(module, 0)
    assert tuple(ask(module, tensors).shape) == promised(module, tensors)


@EVERY
def test_one_module_takes_several_sizes(name: str) -> None:
    module = new(name).double()
    tensors, other = inputs(module, dtype=torch.float64), inputs(module, 1, 9, 4, dtype=torch.float64)
    first = ask(module, tensors)
    assert tuple(ask(module, other).shape) == promised(module, other)
    assert torch.equal(ask(module, tensors), first), "a call leaves something behind"


# 2. Types, layouts, independence


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_keeps_the_type(name: str, dtype: torch.dtype) -> None:
    module = new(name).to(dtype)
    tensors = like(inputs(module), lambda t: t.to(dtype))
    output = ask(module, tensors)
    assert output.dtype == dtype
    close(
        output,
        ask(copy.deepcopy(module).double(), like(tensors, Tensor.double)),
        {torch.float32: 1e-5, torch.float64: 1e-12}.get(dtype, 0.05),
    )


@EVERY
def test_autocast(name: str) -> None:
    module = new(name)
    tensors = inputs(module)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = ask(module, tensors)
    close(output, ask(module, tensors), 0.05)


@EVERY
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_is_built_where_and_as_asked(name: str, device: str) -> None:
    module = new(name, jitter=False, device=device, dtype=torch.float64)
    tensors = [*module.parameters(), *module.buffers()]
    assert all(t.device.type == device for t in tensors)
    assert all(t.dtype == torch.float64 for t in tensors if t.is_floating_point())
    if device == "cpu":
        twin = new(name, jitter=False)  # from the same draws
        pairs = zip(module.state_dict().values(), twin.state_dict().values(), strict=True)
        assert all(torch.equal(a, b.to(a.dtype)) for a, b in pairs)


@EVERY
def test_half_precision_does_not_overflow(name: str) -> None:
    module = new(name, 64).half()
    tensors = like(inputs(module, 2, 14, 14), lambda t: (30 * t).half())
    expected = ask(copy.deepcopy(module).float(), like(tensors, Tensor.float))
    assert expected.abs().max() < torch.finfo(torch.half).max, "choose another input"
    # A softmax over scores in the hundreds may prefer another of two near-equals.
    close(ask(module, tensors), expected, 0.1)


@EVERY
@pytest.mark.parametrize("convert", [False, True], ids=["module as built", "module converted"])
def test_channels_last(name: str, convert: bool) -> None:
    module = new(name)
    if module.interface == "read":
        return  # takes no maps
    tensors = inputs(module, 2, 12, 20)
    expected = ask(module, tensors)
    if convert:
        module.to(memory_format=torch.channels_last)
    output = ask(module, like(tensors, lambda t: t.contiguous(memory_format=torch.channels_last)))
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)
    if output.ndim == 4:
        assert output.is_contiguous(memory_format=torch.channels_last)


@EVERY
def test_contiguous_stays_contiguous(name: str) -> None:
    module = new(name)
    assert ask(module, like(inputs(module, 2, 12, 20), Tensor.contiguous)).is_contiguous()


@EVERY
def test_strides_do_not_matter(name: str) -> None:
    module = new(name).double()
    wide = inputs(module, 2, 9, 12, dtype=torch.float64)
    steps: list[Callable[[Tensor], Tensor]] = [
        lambda t: t.transpose(-1, -2).clone().transpose(-1, -2),
        lambda t: torch.stack([t, t])[1:].squeeze(0),
        lambda t: torch.cat([t, t], dim=-1)[..., : t.shape[-1]],
        lambda t: t.flip(-2),
    ]
    if module.interface in ("refine", "pool", "label"):
        steps += [
            lambda t: t.transpose(2, 3),
            lambda t: t[:, :, ::2, 1:],
            lambda t: t[:, :, :1].expand(-1, -1, 7, -1),
        ]
    for change in steps:
        tensors = like(wide, change)
        straight = like(tensors, lambda t: t.clone(memory_format=torch.contiguous_format))
        torch.testing.assert_close(ask(module, tensors), ask(module, straight))


@EVERY
@MODES
def test_leaves_the_input_alone(name: str, training: bool) -> None:
    module = new(name).train(training)
    tensors = like(inputs(module), Tensor.clone)
    before = like(tensors, Tensor.clone)
    output = ask(module, tensors)
    for x, old in zip(tensors, before, strict=True):
        assert torch.equal(x, old) and x._version == 0
        assert output.untyped_storage().data_ptr() != x.untyped_storage().data_ptr()


@EVERY
def test_no_sample_influences_another(name: str) -> None:
    module = new(name).double()
    tensors = inputs(module, 3, dtype=torch.float64)
    alone = [ask(module, like(tensors, lambda t, i=i: t[i : i + 1])) for i in range(3)]
    torch.testing.assert_close(ask(module, tensors), torch.cat(alone), rtol=1e-9, atol=1e-11)


# 3. Gradients, options, modes


@EVERY
@MODES
def test_gradcheck(name: str, training: bool) -> None:
    """The input in full, as the fast mode overlooks a path that is cut; the parameters in the fast mode."""
    module = new(name).double().train(training)
    if is_hard(module) and training:
        return  # what they estimate is not the slope of what they return: each has its own test
    tensors = like(inputs(module, 2, 2, 2, dtype=torch.float64), Tensor.requires_grad_)
    assert torch.autograd.gradcheck(lambda *given: ask(module, given), tensors)
    if not list(module.parameters()):
        return
    names, values = zip(*module.named_parameters(), strict=True)
    still = like(tensors, Tensor.detach)
    natural = (list(still),) if module.interface == "fuse" else still

    def call(*values: Tensor) -> Tensor:
        torch.manual_seed(5)
        output = torch.func.functional_call(module, dict(zip(names, values, strict=True)), natural)
        return output[0] if module.interface == "read" else output

    assert torch.autograd.gradcheck(
        call, [value.detach().clone().requires_grad_() for value in values], fast_mode=True
    )


@EVERY
def test_every_parameter_gets_a_gradient(name: str) -> None:
    module = new(name, 64)
    tensors = inputs(module, 4)
    total = loss(ask(module.train(is_hard(module)), tensors))
    if is_hard(module):
        total = total + module.read(*tensors).log_probability.sum()
    if total.requires_grad:
        total.backward()
    without = [path for path, p in module.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without, f"no gradient: {without}"


@EVERY
@MODES
def test_constant_input_has_finite_gradients(name: str, training: bool) -> None:
    module = new(name).train(training)
    tensors = like(inputs(module, 2, 4, 4), lambda t: torch.full_like(t, 0.5).requires_grad_())
    loss(ask(module, tensors)).backward()
    grads = [t.grad for t in [*tensors, *module.parameters()] if t.grad is not None]
    assert grads and all(grad.isfinite().all() for grad in grads)


@EVERY
def test_eval_is_repeatable_and_leaves_the_state_alone(name: str) -> None:
    module = new(name)
    tensors = inputs(module)
    before = copy.deepcopy(module.state_dict())
    first = ask(module, tensors)
    torch.manual_seed(6)
    natural = module(list(tensors)) if module.interface == "fuse" else module(*tensors)
    assert torch.equal(natural[0] if module.interface == "read" else natural, first)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


@EVERY
def test_variants_cover_every_option(name: str) -> None:
    options = options_of(mechanisms[name])
    free = set(options) - set(NEEDED.get(mechanisms[name].interface, {}))
    assert free <= set(mechanisms[name].variants) <= set(options)
    assert all(options[o] != value for o, value in mechanisms[name].variants.items())


@EVERY_BUILD
def test_no_option_is_ignored(name: str, options: dict[str, object]) -> None:
    plain = new(name, jitter=False)
    if not options:
        return
    other = new(name, jitter=False, **options)
    shapes, others = ({k: v.shape for k, v in m.state_dict().items()} for m in (plain, other))
    if shapes == others and all(torch.equal(v, plain.state_dict()[k]) for k, v in other.state_dict().items()):
        plain, other = new(name), new(name, **options)
        pairs = [[ask(m.train(t), inputs(m)) for m in (plain, other)] for t in (False, True)]
        changed = [a.shape != b.shape or not torch.allclose(a, b) for a, b in pairs]
        assert any(changed), f"{options} changes neither output nor state"


@EVERY
def test_a_misspelt_option_is_answered_with_the_options(name: str) -> None:
    with pytest.raises(OptionError, match="wdth") as caught:
        new(name, wdth=3)
    assert all(option in str(caught.value) for option in options_of(mechanisms[name]))


@EVERY
def test_impossible_values_are_refused_by_name(name: str) -> None:
    wrong = {int: -1, str: "no such value"}
    for option, default in {
        **options_of(mechanisms[name]),
        **NEEDED.get(mechanisms[name].interface, {}),
    }.items():
        if type(default) in wrong:
            with pytest.raises(OptionError, match=option):
                new(name, **{option: wrong[type(default)]})


@EVERY
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("channels", [0, -4, 2.5, "64"])
def test_impossible_channels_are_refused(name: str, channels: object) -> None:
    with pytest.raises(OptionError, match="channels"):
        new(name, channels)


# 4. Compile, export, copies


@EVERY
def test_copies_are_equal(name: str) -> None:
    module = new(name)
    tensors = inputs(module)
    expected = ask(module, tensors)
    fresh = new(name, seed=7)
    fresh.load_state_dict(module.state_dict())
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module)), fresh):
        assert torch.equal(ask(twin, tensors), expected)


@pytest.mark.slow
@EVERY
@MODES
@pytest.mark.usefixtures("unchecked")
def test_compiles_as_one_graph(name: str, training: bool) -> None:
    """In training with gradients, in eval at two sizes by one graph."""
    torch._dynamo.reset()
    module = new(name).train(training)
    compiled = torch.compile(
        copy.deepcopy(module), fullgraph=True, backend="aot_eager", dynamic=None if training else True
    )
    if not training:
        with torch.no_grad():
            for tensors in (inputs(module), inputs(module, 3, 6, 9)):
                output = ask(compiled, tensors, module.interface)
                torch.testing.assert_close(output, ask(module, tensors), rtol=1e-4, atol=1e-5)
        return
    twins = [like(inputs(module), lambda t: t.clone().requires_grad_()) for _ in range(2)]
    outputs = [ask(m, t, module.interface) for m, t in zip((module, compiled), twins, strict=True)]
    for output in outputs:
        loss(output).backward()
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-4, atol=1e-5)
    for one, other in zip(*twins, strict=True):
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-4, atol=1e-5)


def call_arguments(module: Mechanism, tensors: tuple[Tensor, ...]) -> tuple[object, ...]:
    return (list(tensors),) if module.interface == "fuse" else tensors


def dynamic(module: Mechanism) -> tuple[object, ...]:
    """Every batch, height and width, and number of queries and of memory entries, is left open."""
    axes = {"read": [(0, 1)] * 2, "gate": [(0, 2, 3)] * 2}.get(module.interface, [(0, 2, 3)])
    shapes = [dict.fromkeys(each, torch.export.Dim.DYNAMIC) for each in axes]
    return ([shapes[0] for _ in module.widths],) if module.interface == "fuse" else tuple(shapes)


@pytest.mark.slow
@EVERY
def test_exports_to_onnx_with_any_batch_and_size(name: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    module, stream = new(name), io.BytesIO()
    given, other = inputs(module, 2, 8, 6), inputs(module, 3, 5, 9)
    expected = ask(module, other)
    program = torch.export.export(module, call_arguments(module, given), dynamic_shapes=dynamic(module))
    torch.testing.assert_close(ask(program.module(), other, module.interface), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        torch.onnx.export(program, dynamo=True, opset_version=18, verbose=False).save(stream)
    session = onnxruntime.InferenceSession(stream.getvalue(), providers=["CPUExecutionProvider"])
    feed = {put.name: t.numpy() for put, t in zip(session.get_inputs(), other, strict=True)}
    output = session.run(None, feed)[0]
    torch.testing.assert_close(torch.from_numpy(output), expected, rtol=1e-4, atol=1e-5)


# 5. The weights can be seen


@EVERY_BUILD
@MODES
def test_weights_are_seen_and_are_what_they_say(
    name: str, options: dict[str, object], training: bool
) -> None:
    module = new(name, **options).train(training)
    tensors = inputs(module)
    with recording(module) as seen:
        output = ask(module, tensors)
    sizes = {"b": 2, "h": 7, "w": 5, "n": 35, "t": STEPS, "q": output.shape[1], "1": 1}
    if module.interface in ("refine", "pool", "label"):
        sizes["c"] = 16
    elif module.interface == "fuse":
        sizes["s"] = len(module.widths)
    assert seen.keys() == taps(module).keys() != set()
    for path, weights in seen.items():
        tap = taps(module)[path]
        axes = tap.axes.split()
        assert len(axes) == weights.ndim and axes[0] == "b"
        assert all(size == sizes.get(axis, size) for axis, size in zip(axes, weights.shape, strict=True))
        assert tap.low - 1e-6 <= weights.min() and weights.max() <= tap.high + 1e-6
        if tap.sums:
            total = weights.sum(dim=[axes.index(axis) for axis in tap.sums.split()])
            torch.testing.assert_close(total, torch.ones_like(total))


@EVERY
def test_the_weights_seen_are_the_weights_used(name: str) -> None:
    """What a tap returns is what the mechanism goes on with; a map only for show changes nothing."""
    module = new(name)
    tensors = inputs(module)
    with recording(module):
        plain = ask(module, tensors)
        for tap in taps(module).values():
            hook = tap.register_forward_hook(lambda _m, _i, out: torch.zeros_like(out))
            assert not torch.allclose(ask(module, tensors), plain)
            hook.remove()


@EVERY_BUILD
@MODES
def test_looking_changes_nothing(name: str, options: dict[str, object], training: bool) -> None:
    module = new(name, **options).double()
    tensors = inputs(module, 2, 9, 12, dtype=torch.float64)
    twin = copy.deepcopy(module)
    plain = ask(module.train(training), tensors)
    with recording(twin):
        torch.testing.assert_close(ask(twin.train(training), tensors), plain)


@EVERY
def test_facets_agree_with_the_weights(name: str) -> None:
    letters = {
        "channels": "c",
        "positions": "hwnmp",
        "heads": "k",
        "classes": "q",
        "steps": "m",
        **dict.fromkeys(("scales", "branches", "layers"), "s"),
    }
    cls = mechanisms[name]
    axes = {axis for tap in taps(new(name)).values() for axis in tap.axes.split()}
    for what in cls.facets.over:
        assert axes & set(letters[what]), f"says that it weighs {what}, but no map has such an axis"
    assert cls.facets.over and cls.facets.sites
    if cls.facets.weighting == "soft":
        ranges = [(tap.low, tap.high) for tap in taps(new(name)).values()]
        assert all(0 <= low <= high <= 1 or (low, high) == (-math.inf, math.inf) for low, high in ranges)


@EVERY
@MODES
def test_a_closed_gate_returns_the_input(name: str, training: bool) -> None:
    module = new(name, jitter=False).train(training)
    if module.gate is None or module.interface != "refine":
        return
    (x,) = inputs(module)
    assert not module.get_parameter(module.gate).any()
    assert torch.equal(module(x), x)
    module.get_parameter(module.gate).data += 0.5
    assert not torch.allclose(module(x), x), "the gate does not open"


# 6. Cost


@EVERY_BUILD
@pytest.mark.parametrize("channels", [16, 24, 64])
def test_cost_is_what_can_be_counted(name: str, options: dict[str, object], channels: int) -> None:
    module = new(name, channels, **options)
    stored = [*module.parameters(), *module.buffers()]
    more = {
        torch.ops.aten.mv: lambda a, b, **_: 2 * a[0] * a[1],
        torch.ops.aten.dot: lambda a, b, **_: 2 * a[0],
    }
    for height, width in ((7, 5), (1, 1), (12, 20)):
        tensors = inputs(module, 2, height, width)
        if module.interface == "read":  # the closed form is for one query
            tensors = (tensors[0][:, :1], tensors[1])
        with recording(module), FlopCounterMode(display=False, custom_mapping=more) as counter:
            ask(module, tensors)
        counted = Cost(
            parameters=sum(p.numel() for p in module.parameters()),
            macs=counter.get_total_flops() // 4,  # two operations a multiply-add, two images
            bytes=sum(tensor.nbytes for tensor in stored),
        )
        assert module.cost(height, width) == counted
        assert all(type(value) is int for value in vars(module.cost(height, width)).values())


# 7. The file (parity, the contract's own seventh point, is each mechanism's reference test)


@EVERY
def test_the_file_says_what_it_is(name: str) -> None:
    cls = mechanisms[name]
    entries = header(cls)
    assert Path(inspect.getfile(cls)).stem == name
    assert not hasattr(nn.Module, name), "a child of this name would hide a method of its parent"
    assert entries.keys() == {"Summary", "Formula", "Paper", "Shapes", "Cost", "Differs"}
    assert all(entries.values())
    assert all(f"{option}:" in (cls.__doc__ or "") for option in ["channels", *options_of(cls)])


@EVERY
def test_the_example_runs(name: str) -> None:
    module = sys.modules[mechanisms[name].__module__]
    results = doctest.testmod(module)
    assert results.attempted >= 2 and results.failed == 0


def test_every_file_is_in_the_table_of_contents() -> None:
    files = {path.stem: path.parent.name for path in HOME.glob("*/*.py") if path.stem != "__init__"}
    assert files.keys() == set(NAMES)
    tree = ast.parse((HOME / "__init__.py").read_text())
    listed = {
        alias.name: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for stem, family in files.items():
        assert listed[stem] == f"foveate.mechanisms.{family}"


# 8. Mistakes


@EVERY
def test_the_shapes_in_the_annotations_hold(name: str) -> None:
    module = new(name)
    forward = jaxtyping.jaxtyped(typechecker=beartype)(type(module).forward)
    for tensors in (inputs(module), inputs(module, 1, 4, 9)):
        output = forward(module, *call_arguments(module, tensors))
        context = output[0] if module.interface == "read" else output
        assert tuple(context.shape) == promised(module, tensors)
    with pytest.raises(jaxtyping.TypeCheckError):
        forward(module, *call_arguments(module, like(inputs(module), lambda t: t[0])))


@EVERY
@pytest.mark.usefixtures("unchecked")
def test_wrong_inputs_are_explained(name: str) -> None:
    module = new(name)
    tensors = inputs(module)
    changes: list[Callable[[Tensor], Tensor]] = [
        lambda t: t[0],
        lambda t: torch.zeros_like(t, dtype=torch.uint8),
        (lambda t: t[..., :8]) if module.interface == "read" else (lambda t: t[:, :8]),
    ]
    if module.interface in ("refine", "pool", "label"):
        changes.append(tokens)
    for change in changes:
        for position, x in enumerate(tensors):
            wrong = [*tensors[:position], change(x), *tensors[position + 1 :]]
            came = [
                str(tuple(wrong[position].shape)),
                str(wrong[position].dtype),
                str(wrong[position].shape[1]),
            ]
            with pytest.raises(ShapeError) as caught:
                module(wrong) if module.interface == "fuse" else module(*wrong)
            assert any(word in str(caught.value) for word in came), "what came is not said"
            expected = x.shape[-1] if module.interface == "read" else x.shape[1]
            assert str(expected) in str(caught.value), "what was expected is not said"
            assert isinstance(caught.value, FoveateError)


# 9. What one interface promises beyond this


READS = [name for name in NAMES if mechanisms[name].interface == "read"]
FUSES = [name for name in NAMES if mechanisms[name].interface == "fuse"]
GATES = [name for name in NAMES if mechanisms[name].interface == "gate"]


@pytest.mark.parametrize("name", READS)
@MODES
def test_a_masked_memory_is_not_read(name: str, training: bool) -> None:
    module = new(name).double().train(training)
    query, memory = inputs(module, 3, dtype=torch.float64)
    mask = torch.rand(memory.shape[:2], generator=torch.Generator().manual_seed(3)) > 0.4
    mask[1] = False
    torch.manual_seed(5)
    context, weights = module(query, memory, mask)
    assert not weights.masked_select(~mask.unsqueeze(1)).any()
    assert not context[1].any() and not weights[1].any()
    torch.testing.assert_close(weights[0].sum(dim=-1), torch.ones(STEPS, dtype=torch.float64))
    junk = torch.where(mask.unsqueeze(2), memory, torch.full_like(memory, 1e6))
    torch.manual_seed(5)
    torch.testing.assert_close(module(query, junk, mask)[0], context)
    torch.manual_seed(5)
    total = module(query.requires_grad_(), memory, mask)[0].sum()
    if total.requires_grad:  # what a hard read chose has no slope
        grads = torch.autograd.grad(total, query, allow_unused=True)
        assert grads[0] is None or grads[0].isfinite().all()


@pytest.mark.parametrize("name", READS)
def test_reading_without_a_mask_is_reading_all(name: str) -> None:
    module = new(name).double()
    query, memory = inputs(module, dtype=torch.float64)
    everything = torch.ones(memory.shape[:2], dtype=torch.bool)
    for masked, plain in zip(module(query, memory, everything), module(query, memory), strict=True):
        torch.testing.assert_close(masked, plain)


@pytest.mark.parametrize("name", READS)
@pytest.mark.usefixtures("unchecked")
def test_a_wrong_mask_is_explained(name: str) -> None:
    module = new(name)
    query, memory = inputs(module)
    for mask in (torch.ones(2, 34, dtype=torch.bool), torch.ones(2, 35)):
        with pytest.raises(ShapeError, match=r"mask.*\(2, 35\)"):
            module(query, memory, mask)


@pytest.mark.parametrize("name", READS)
def test_a_query_may_be_of_another_width(name: str) -> None:
    try:
        module = new(name, 16, query=24)
    except OptionError as error:
        assert "24" in str(error) and "query" in str(error)
        return
    context, weights = module(*inputs(module))
    assert context.shape == (2, STEPS, 16) and weights.shape == (2, STEPS, 35)


@pytest.mark.parametrize("name", FUSES)
def test_maps_of_other_sizes_are_resized_to_the_first(name: str) -> None:
    module = new(name).double()
    first, *others = inputs(module, dtype=torch.float64)
    coarse = [nn.functional.interpolate(x, (4, 3), mode="bilinear", antialias=False) for x in others]
    resized = [nn.functional.interpolate(x, (7, 5), mode="bilinear", antialias=False) for x in coarse]
    if not module.pooled:
        torch.testing.assert_close(module([first, *coarse]), module([first, *resized]))
    assert tuple(module([first, *coarse]).shape) == promised(module, (first,))


@pytest.mark.parametrize("name", FUSES)
@pytest.mark.usefixtures("unchecked")
def test_another_number_of_maps_is_explained(name: str) -> None:
    module = new(name)
    tensors = inputs(module)
    for wrong in (list(tensors[:-1]), [*tensors, tensors[0]], tensors[0]):
        with pytest.raises(ShapeError, match=f"list of {len(tensors)} maps"):
            module(wrong)


@pytest.mark.parametrize("name", GATES)
def test_the_gating_map_may_have_any_size(name: str) -> None:
    module = new(name)
    x, _ = inputs(module)
    for size in ((1, 1), (3, 2), (7, 5), (9, 8)):
        assert tuple(module(x, image(2, GATING, *size)).shape) == promised(module, (x,))
