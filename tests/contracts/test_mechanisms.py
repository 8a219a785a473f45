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
import pickle
import sys
import warnings
from collections.abc import Iterator
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
NEEDED = {"label": {"classes": CLASSES}}  # what an interface cannot be built without
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


def image(batch: int = 2, channels: int = 16, height: int = 7, width: int = 5, **options: object) -> Tensor:
    return torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(1), **options)


def promised(module: Mechanism, x: Tensor) -> tuple[int, ...]:
    shapes = {"refine": tuple(x.shape), "pool": tuple(x.shape[:2]), "label": (len(x), CLASSES)}
    return shapes[module.interface]


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
    x = image(batch, 16, *size).requires_grad_()
    output = module(x)
    loss(output).backward()
    assert tuple(output.shape) == promised(module, x)
    assert output.isfinite().all()
    assert all(t.grad is not None and t.grad.isfinite().all() for t in [x, *module.parameters()])


@EVERY
@pytest.mark.parametrize("channels", [1, 3, 6, 8, 16, 24, 64, 100])
def test_takes_any_number_of_channels(name: str, channels: int) -> None:
    """Also fewer channels than the reduction, and channels that it does not divide."""
    x = image(channels=channels)
    try:
        module = new(name, channels)
    except (
        OptionError
    ) as error:  # heads that do not divide the channels, say: refused when built, with the reason
        assert channels % 8 != 0, "a multiple of 8 must do"
        assert str(channels) in str(error)
        return
    assert tuple(module(x).shape) == promised(module, x)
    changed = copy.deepcopy(module)
    for parameter in changed.parameters():
        parameter.data += 0.5 * torch.randn_like(parameter)
    if list(module.parameters()):
        assert not torch.equal(changed(x), module(x)), "the weights have no effect: is a layer of width 0?"


@EVERY
def test_takes_an_empty_batch(name: str) -> None:
    module = new(name)
    x = image(0)
    assert tuple(module(x).shape) == promised(module, x)


@EVERY
def test_one_module_takes_several_sizes(name: str) -> None:
    module = new(name).double()
    x, other = image(dtype=torch.float64), image(1, 16, 9, 4, dtype=torch.float64)
    first = module(x)
    assert tuple(module(other).shape) == promised(module, other)
    assert torch.equal(module(x), first), "a call leaves something behind"


# 2. Types, layouts, independence


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_keeps_the_type(name: str, dtype: torch.dtype) -> None:
    module, x = new(name).to(dtype), image().to(dtype)
    output = module(x)
    assert output.dtype == dtype
    close(
        output,
        copy.deepcopy(module).double()(x.double()),
        {torch.float32: 1e-5, torch.float64: 1e-12}.get(dtype, 0.05),
    )


@EVERY
def test_autocast(name: str) -> None:
    module, x = new(name), image()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = module(x)
    close(output, module(x), 0.05)


@EVERY
def test_half_precision_does_not_overflow(name: str) -> None:
    module, x = new(name, 64).half(), (30 * image(2, 64, 14, 14)).half()
    expected = copy.deepcopy(module).float()(x.float())
    assert expected.abs().max() < torch.finfo(torch.half).max, "choose another input"
    close(
        module(x), expected, 0.1
    )  # a softmax over scores in the hundreds may prefer another of two near-equals


@EVERY
@pytest.mark.parametrize("convert", [False, True], ids=["module as built", "module converted"])
def test_channels_last(name: str, convert: bool) -> None:
    module, x = new(name), image(2, 16, 12, 20)
    expected = module(x)
    if convert:
        module.to(memory_format=torch.channels_last)
    output = module(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)
    if module.interface == "refine":
        assert output.is_contiguous(memory_format=torch.channels_last)


@EVERY
def test_contiguous_stays_contiguous(name: str) -> None:
    assert new(name)(image(2, 16, 12, 20)).is_contiguous()


@EVERY
def test_strides_do_not_matter(name: str) -> None:
    module = new(name).double()
    wide = image(2, 16, 9, 12, dtype=torch.float64)
    for x in (wide.transpose(2, 3), wide[:, :, ::2, 1:], wide[:, :, :1].expand(-1, -1, 7, -1), wide.flip(3)):
        torch.testing.assert_close(module(x), module(x.clone(memory_format=torch.contiguous_format)))


@EVERY
@MODES
def test_leaves_the_input_alone(name: str, training: bool) -> None:
    module, x = new(name).train(training), image()
    before = x.clone()
    output = module(x)
    assert torch.equal(x, before) and x._version == 0
    assert output.untyped_storage().data_ptr() != x.untyped_storage().data_ptr()


@EVERY
def test_no_sample_influences_another(name: str) -> None:
    module, x = new(name).double(), image(3, dtype=torch.float64)
    together = module(x)
    torch.testing.assert_close(
        together, torch.cat([module(x[i : i + 1]) for i in range(3)]), rtol=1e-9, atol=1e-11
    )


# 3. Gradients, options, modes


@EVERY
@MODES
def test_gradcheck(name: str, training: bool) -> None:
    """The input in full, as the fast mode overlooks a path that is cut; the parameters in the fast mode."""
    module = new(name, 32).double().train(training)
    x = image(2, 32, 2, 2, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(module, [x])
    if not list(module.parameters()):
        return
    names, values = zip(*module.named_parameters(), strict=True)

    def call(*values: Tensor) -> Tensor:
        return torch.func.functional_call(module, dict(zip(names, values, strict=True)), (x.detach(),))

    assert torch.autograd.gradcheck(
        call, [value.detach().clone().requires_grad_() for value in values], fast_mode=True
    )


@EVERY
def test_every_parameter_gets_a_gradient(name: str) -> None:
    module = new(name, 64)
    loss(module(image(4, 64))).backward()
    without = [path for path, p in module.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without, f"no gradient: {without}"


@EVERY
@MODES
def test_constant_input_has_finite_gradients(name: str, training: bool) -> None:
    module, x = new(name).train(training), torch.full((2, 16, 4, 4), 0.5, requires_grad=True)
    loss(module(x)).backward()
    assert all(t.grad.isfinite().all() for t in [x, *module.parameters()])


@EVERY
def test_eval_is_repeatable_and_leaves_the_state_alone(name: str) -> None:
    module, x = new(name), image()
    before = copy.deepcopy(module.state_dict())
    first = module(x)
    assert torch.equal(module(x), first)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


@EVERY
def test_variants_cover_every_option(name: str) -> None:
    options = options_of(mechanisms[name])
    free = set(options) - set(NEEDED.get(mechanisms[name].interface, {}))
    assert free <= set(mechanisms[name].variants) <= set(options)
    assert all(options[o] != value for o, value in mechanisms[name].variants.items())


@EVERY_BUILD
def test_no_option_is_ignored(name: str, options: dict[str, object]) -> None:
    plain, x = new(name, jitter=False), image()
    if not options:
        return
    other = new(name, jitter=False, **options)
    shapes, others = ({k: v.shape for k, v in m.state_dict().items()} for m in (plain, other))
    if shapes == others and all(torch.equal(v, plain.state_dict()[k]) for k, v in other.state_dict().items()):
        plain, other = new(name), new(name, **options)
        changed = [not torch.allclose(plain.train(t)(x), other.train(t)(x)) for t in (False, True)]
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
    module, x = new(name), image()
    expected = module(x)
    fresh = new(name, seed=7)
    fresh.load_state_dict(module.state_dict())
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module)), fresh):
        assert torch.equal(twin(x), expected)


@pytest.mark.slow
@EVERY
@MODES
@pytest.mark.usefixtures("unchecked")
def test_compiles_as_one_graph(name: str, training: bool) -> None:
    torch._dynamo.reset()
    module = new(name).train(training)
    compiled = torch.compile(copy.deepcopy(module), fullgraph=True, backend="aot_eager")
    for x in (image(), image(3, 16, 6, 9)):
        inputs = [x.clone().requires_grad_() for _ in range(2)]
        outputs = [m(i) for m, i in zip((module, compiled), inputs, strict=True)]
        loss(outputs[0]).backward()
        loss(outputs[1]).backward()
        torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(inputs[1].grad, inputs[0].grad, rtol=1e-4, atol=1e-5)


def dynamic() -> tuple[dict[int, object]]:
    return (dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC),)


@pytest.mark.slow
@EVERY
def test_exports_with_any_batch_and_size(name: str) -> None:
    module, other = new(name), image(3, 16, 5, 9)
    program = torch.export.export(module, (image(2, 16, 8, 6),), dynamic_shapes=dynamic())
    torch.testing.assert_close(program.module()(other), module(other))


@pytest.mark.slow
@EVERY
def test_onnx_with_any_batch_and_size(name: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    module, other, stream = new(name), image(3, 16, 5, 9), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        program = torch.onnx.export(
            module,
            (image(2, 16, 8, 6),),
            dynamo=True,
            opset_version=18,
            dynamic_shapes=dynamic(),
            verbose=False,
        )
    program.save(stream)
    session = onnxruntime.InferenceSession(stream.getvalue(), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {session.get_inputs()[0].name: other.numpy()})
    torch.testing.assert_close(torch.from_numpy(output), module(other), rtol=1e-4, atol=1e-5)


# 5. The weights can be seen


@EVERY_BUILD
@MODES
def test_weights_are_seen_and_are_what_they_say(
    name: str, options: dict[str, object], training: bool
) -> None:
    module, x = new(name, **options).train(training), image()
    sizes = {"b": 2, "c": 16, "h": 7, "w": 5, "n": 35, "q": module(x).shape[1], "1": 1}
    with recording(module) as seen:
        module(x)
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
    module, x = new(name), image()
    with recording(module):
        plain = module(x)
        for tap in taps(module).values():
            hook = tap.register_forward_hook(lambda _m, _i, out: torch.zeros_like(out))
            assert not torch.allclose(module(x), plain)
            hook.remove()


@EVERY_BUILD
@MODES
def test_looking_changes_nothing(name: str, options: dict[str, object], training: bool) -> None:
    module, x = new(name, **options).double(), image(2, 16, 9, 12, dtype=torch.float64)
    twin = copy.deepcopy(module)
    plain = module.train(training)(x)
    with recording(twin):
        torch.testing.assert_close(twin.train(training)(x), plain)


@EVERY
def test_facets_agree_with_the_weights(name: str) -> None:
    cls, letters = mechanisms[name], {"channels": "c", "positions": "hwnm", "heads": "k", "classes": "q"}
    axes = {axis for tap in taps(new(name)).values() for axis in tap.axes.split()}
    for what in cls.facets.over:
        assert axes & set(letters[what]), f"says that it weighs {what}, but no map has such an axis"
    assert cls.facets.over and cls.facets.sites
    if cls.facets.weighting == "soft":
        assert all(0 <= tap.low <= tap.high <= 1 for tap in taps(new(name)).values())


@EVERY
@MODES
def test_a_closed_gate_returns_the_input(name: str, training: bool) -> None:
    module, x = new(name, jitter=False).train(training), image()
    if module.gate is None:
        return
    assert not module.get_parameter(module.gate).any()
    assert torch.equal(module(x), x)
    module.get_parameter(module.gate).data += 0.5
    assert not torch.allclose(module(x), x), "the gate does not open"


# 6. Cost


@EVERY_BUILD
@pytest.mark.parametrize("channels", [16, 24, 64])
def test_cost_is_what_can_be_counted(name: str, options: dict[str, object], channels: int) -> None:
    module = new(name, channels, **options)
    tensors = [*module.parameters(), *module.buffers()]
    more = {
        torch.ops.aten.mv: lambda a, b, **_: 2 * a[0] * a[1],
        torch.ops.aten.dot: lambda a, b, **_: 2 * a[0],
    }
    for height, width in ((7, 5), (1, 1), (12, 20)):
        with recording(module), FlopCounterMode(display=False, custom_mapping=more) as counter:
            module(image(2, channels, height, width))
        counted = Cost(
            parameters=sum(p.numel() for p in module.parameters()),
            macs=counter.get_total_flops() // 4,  # two operations a multiply-add, two images
            bytes=sum(tensor.nbytes for tensor in tensors),
        )
        assert module.cost(height, width) == counted
        assert all(type(value) is int for value in vars(module.cost(height, width)).values())


# 7. The file (parity, the contract's own seventh point, is each mechanism's reference test)


@EVERY
def test_the_file_says_what_it_is(name: str) -> None:
    cls = mechanisms[name]
    entries = header(cls)
    assert Path(inspect.getfile(cls)).stem == name
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
    for x in (image(), image(1, 16, 4, 9)):
        assert tuple(forward(module, x).shape) == promised(module, x)
    with pytest.raises(jaxtyping.TypeCheckError):
        forward(module, image()[0])


@EVERY
@pytest.mark.usefixtures("unchecked")
def test_wrong_inputs_are_explained(name: str) -> None:
    module = new(name)
    for wrong, fragment in (
        (torch.rand(2, 35, 16), "(2, 35, 16)"),
        (torch.rand(16, 7, 5), "(16, 7, 5)"),
        (image(2, 8), "8"),
        (torch.zeros(2, 16, 7, 5, dtype=torch.uint8), "uint8"),
    ):
        with pytest.raises(ShapeError) as caught:
            module(wrong)
        assert (
            fragment in str(caught.value)
            and "16" in str(caught.value)
            and isinstance(caught.value, FoveateError)
        )
