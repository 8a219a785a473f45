"""The contract: what every mechanism in the registry promises, whatever it computes.

Nothing here names a mechanism. A new one is tested from the moment that it is registered; what it computes is
tested in ``tests/mechanisms``. Here: shapes, types, layouts, gradients; the files beside this one
have the rest.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from foveate.errors import OptionError
from tests.contracts.contract import (
    EVERY,
    EVERY_BUILD,
    MODES,
    ask,
    close,
    inputs,
    is_hard,
    like,
    loss,
    new,
    promised,
    redraw,
)

# Shapes


@EVERY
@MODES
@pytest.mark.parametrize("size", [(7, 5), (1, 1), (1, 9), (12, 20), (8, 8)], ids=str)
def test_keeps_the_shape_promise(name: str, training: bool, size: tuple[int, int]) -> None:
    for batch in (1, 3):
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


# Types, layouts, independence


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


@EVERY_BUILD
def test_float16_overflows_only_where_float32_would_exceed_it(name: str, options: dict[str, object]) -> None:
    """Sums and products on the way may be greater than what goes in and comes out."""
    module, most = new(name, 32, jitter=False, **options).half(), torch.finfo(torch.half).max
    wide = copy.deepcopy(module).float()
    for level in (500, 6000):
        tensors = like(inputs(module), lambda t, level=level: (level * t).half())
        with torch.no_grad():
            output, expected = ask(module, tensors), ask(wide, like(tensors, Tensor.float))
        rounding = 0.02 * expected.abs().max()
        assert output[expected.abs() + rounding < most].isfinite().all()


@EVERY
def test_backward_inside_autocast(name: str) -> None:
    """Where PyTorch's advice is not followed: in the same numbers as outside, but for rounding."""
    grads = []
    for inside in (False, True):
        module = new(name, 32).train(is_hard(new(name)))
        tensors = like(inputs(module), Tensor.requires_grad_)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            total = loss(ask(module, tensors).float())
            if inside:
                total.backward()
        if not inside:
            total.backward()
        found = [t.grad.flatten() for t in [*tensors, *module.parameters()] if t.grad is not None]
        grads.append(torch.cat(found))
    close(grads[1], grads[0], 0.05)


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


# Gradients, modes


@EVERY
@MODES
def test_gradcheck(name: str, training: bool) -> None:
    """The slope of one random sum of the output by every number of the input: the fast mode overlooks a path
    that is cut. The parameters in the fast mode.
    """
    module = new(name).double().train(training)
    if is_hard(module) and training:
        return  # what they estimate is not the slope of what they return: each has its own test
    batch = 2 if training else 1  # what is in a batch with it matters to a batch normalisation in training
    tensors = like(inputs(module, batch, 2, 2, dtype=torch.float64), Tensor.requires_grad_)
    assert torch.autograd.gradcheck(lambda *given: loss(ask(module, given)), tensors)
    if not list(module.parameters()):
        return
    names, values = zip(*module.named_parameters(), strict=True)
    still = like(tensors, Tensor.detach)
    natural = (list(still),) if module.interface == "fuse" else still

    def call(*values: Tensor) -> Tensor:
        redraw()
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
