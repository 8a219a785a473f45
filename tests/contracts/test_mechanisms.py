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
from foveate.mechanisms.base import Mechanism
from tests.contracts.contract import (
    EVERY,
    FEW,
    ask,
    builds,
    close,
    inputs,
    is_hard,
    like,
    loss,
    main,
    modes,
    new,
    nightly_but,
    promised,
    redraw,
)

# Shapes


SIZES = [(3, 7, 5), (1, 1, 1), (3, 1, 1), (1, 1, 9), (1, 12, 20)]


def gradients(module: Mechanism, tensors: tuple[Tensor, ...]) -> tuple[Tensor, list[Tensor | None]]:
    """Return the output, and the gradients of inputs and parameters by a random sum of it."""
    tensors = like(tensors, Tensor.requires_grad_)
    output = ask(module, tensors)
    loss(output).backward()
    return output, [t.grad for t in [*tensors, *module.parameters()]]


@EVERY
def test_keeps_the_shape_promise(name: str) -> None:
    for training in modes(new(name)):
        for batch, *size in SIZES:
            module = new(name).train(training)
            tensors = inputs(module, batch, *size)
            output, grads = gradients(module, tensors)
            assert tuple(output.shape) == promised(module, tensors)
            assert output.isfinite().all()
            if not is_hard(module):  # a choice has no slope; what a hard read learns from is its own test
                assert all(grad is not None for grad in grads)
            assert all(grad.isfinite().all() for grad in grads if grad is not None)


@EVERY
def test_takes_any_number_of_channels(name: str) -> None:
    """Also fewer channels than the reduction, and channels that it does not divide."""
    for channels in (1, 3, 6, 8, 100):
        try:
            module = new(name, channels)
        except OptionError as error:  # heads that do not divide the channels, say: refused, with the reason
            assert channels % 8 != 0, "a multiple of 8 must do"
            assert str(channels) in str(error)
            continue
        tensors = inputs(module)
        before = ask(module, tensors)
        assert tuple(before.shape) == promised(module, tensors)
        for parameter in module.parameters():
            parameter.data += 2 * torch.randn_like(parameter)
        if list(module.parameters()):
            after = ask(module, tensors)
            assert not torch.equal(before, after), "the weights have no effect: is a layer of width 0?"


@EVERY
def test_one_module_takes_several_sizes_and_an_empty_batch(name: str) -> None:
    module = new(name).double()
    tensors = inputs(module, dtype=torch.float64)
    first = ask(module, tensors)
    for other in (inputs(module, 1, 9, 4, dtype=torch.float64), inputs(module, 0, dtype=torch.float64)):
        assert tuple(ask(module, other).shape) == promised(module, other)
    assert torch.equal(ask(module, tensors), first), "a call leaves something behind"


# Types, layouts, independence


@EVERY
def test_keeps_the_type(name: str) -> None:
    for dtype, share in ((torch.float32, 1e-5), (torch.float64, 1e-12), (torch.bfloat16, 0.05)):
        module = new(name).to(dtype)
        tensors = like(inputs(module), lambda t, dtype=dtype: t.to(dtype))
        output = ask(module, tensors)
        assert output.dtype == dtype
        close(output, ask(module.double(), like(tensors, Tensor.double)), share)


@EVERY
def test_autocast(name: str) -> None:
    """Also with the backward pass inside, against PyTorch's advice: in the same numbers as outside."""
    grads = []
    for inside in (False, True):
        module = new(name, 32).train(is_hard(new(name)))
        tensors = inputs(module)
        expected = ask(module, tensors).detach()
        tensors = like(tensors, Tensor.requires_grad_)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = ask(module, tensors)
            total = loss(output.float())
            if inside:
                total.backward()
        if not inside:
            total.backward()
        close(output, expected, 0.05)
        found = [t.grad.flatten() for t in [*tensors, *module.parameters()] if t.grad is not None]
        grads.append(torch.cat(found))
    close(grads[1], grads[0], 0.05)


@EVERY
def test_half_precision_does_not_overflow(name: str) -> None:
    module = new(name, 64).half()
    tensors = like(inputs(module, 2, 14, 14), lambda t: (30 * t).half())
    expected = ask(copy.deepcopy(module).float(), like(tensors, Tensor.float))
    assert expected.abs().max() < torch.finfo(torch.half).max, "choose another input"
    # A softmax over scores in the hundreds may prefer another of two near-equals.
    close(ask(module, tensors), expected, 0.1)


@pytest.mark.slow
@EVERY
def test_float16_overflows_only_where_float32_would_exceed_it(name: str) -> None:
    """Sums and products on the way may be greater than what goes in and comes out."""
    for options in builds(name):
        module, most = new(name, 32, jitter=False, **options).half(), torch.finfo(torch.half).max
        wide = copy.deepcopy(module).float()
        for level in (500, 6000):
            tensors = like(inputs(module), lambda t, level=level: (level * t).half())
            with torch.no_grad():
                output, expected = ask(module, tensors), ask(wide, like(tensors, Tensor.float))
            rounding = 0.02 * expected.abs().max()
            assert output[expected.abs() + rounding < most].isfinite().all(), options


@EVERY
def test_the_layout_is_kept(name: str) -> None:
    module = new(name)
    tensors = like(inputs(module, 2, 12, 20), Tensor.contiguous)
    expected = ask(module, tensors)
    assert expected.is_contiguous()
    if module.interface == "read":  # takes no maps
        return
    last = like(tensors, lambda t: t.contiguous(memory_format=torch.channels_last))
    for converted in (module, copy.deepcopy(module).to(memory_format=torch.channels_last)):
        output = ask(converted, last)
        torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)
        assert output.ndim != 4 or output.is_contiguous(memory_format=torch.channels_last)


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
def test_leaves_the_input_alone(name: str) -> None:
    for training in modes(new(name)):
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


@pytest.mark.slow
@nightly_but(FEW)
def test_gradcheck(name: str) -> None:
    """The slope of one random sum of the output by every number of the input: the fast mode overlooks a path
    that is cut. The parameters in the fast mode.
    """
    for training in modes(new(name)):
        module = new(name, 8).double().train(training)
        if not (is_hard(module) and training):  # what they estimate is no slope of what they return
            check_gradients(module, batch=2 if training else 1)  # in training the batch matters to its norm


def check_gradients(module: Mechanism, batch: int) -> None:
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
        return main(output, module.interface)

    assert torch.autograd.gradcheck(
        call, [value.detach().clone().requires_grad_() for value in values], fast_mode=True
    )


@EVERY
def test_every_parameter_gets_a_gradient(name: str) -> None:
    module = new(name, 64)
    tensors = inputs(module, 4)
    total = loss(ask(module.train(is_hard(module)), tensors))
    if module.interface == "select":
        found = module.select(*tensors)
        values = found.patches.flatten(2) if found.features is None else found.features
        total = total + loss(module.pool(values, found.weights))
    elif is_hard(module):
        total = total + module.read(*tensors).log_probability.sum()
    if total.requires_grad:
        total.backward()
    without = [path for path, p in module.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without, f"no gradient: {without}"


@EVERY
def test_constant_input_has_finite_gradients(name: str) -> None:
    for training in modes(new(name)):
        module = new(name).train(training)
        constant = like(inputs(module, 2, 4, 4), lambda t: torch.full_like(t, 0.5))
        grads = [grad for grad in gradients(module, constant)[1] if grad is not None]
        assert grads and all(grad.isfinite().all() for grad in grads)


@EVERY
def test_training_is_eval_without_a_layer_that_says_otherwise(name: str) -> None:
    for options in builds(name):
        module = new(name, **options)
        if modes(module) == (False, True):
            continue
        output, grads = gradients(module, inputs(module))
        module = new(name, **options).train()
        same, others = gradients(module, inputs(module))
        assert torch.equal(output, same)
        assert all(torch.equal(a, b) for a, b in zip(grads, others, strict=True) if a is not None)


@EVERY
def test_eval_is_repeatable_and_leaves_the_state_alone(name: str) -> None:
    module = new(name)
    tensors = inputs(module)
    before = copy.deepcopy(module.state_dict())
    first = ask(module, tensors)
    torch.manual_seed(6)
    natural = module(list(tensors)) if module.interface == "fuse" else module(*tensors)
    assert torch.equal(main(natural, module.interface), first)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
