"""Signals, maps and volumes: a mechanism takes what it declares, by its formula, and explains the rest."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch import Tensor

from foveate.errors import OptionError, ShapeError
from foveate.mechanisms import mechanisms
from tests.contracts.contract import (
    NAMES,
    NEIGHBOURS,
    ask,
    each,
    is_hard,
    like,
    loss,
    modes,
    new,
    of_rank,
    promised,
    sized,
)

SIZES = {1: (11,), 2: (5, 3), 3: (3, 5, 4)}
ON_MAPS = [name for name in NAMES if mechanisms[name].dims]
SETS = [n for n in ON_MAPS if mechanisms[n].dims == (1, 2, 3) and n not in [*NEIGHBOURS, "non_local"]]
OTHERS = pytest.mark.parametrize("rank", [1, 3])


def test_what_is_declared() -> None:
    for name in NAMES:
        cls = mechanisms[name]
        assert set(cls.dims) <= {1, 2, 3} and (2 in cls.dims or cls.interface == "read")
    assert len(SETS) + len(NEIGHBOURS) >= 37


@pytest.mark.parametrize("name", each([name for name in ON_MAPS if mechanisms[name].dims != (1, 2, 3)]))
def test_what_is_not_declared_is_explained(name: str) -> None:
    for rank in {1, 3} - set(mechanisms[name].dims):
        module = new(name)
        with pytest.raises(ShapeError, match=r"\(B, (16|C), H, W\)"):
            ask(module, sized(module, 2, SIZES[rank]))


@pytest.mark.parametrize("name", each([name for name in ON_MAPS if mechanisms[name].dims != (2,)]))
def test_what_is_declared_is_taken(name: str) -> None:
    ranks = {1, 3} & set(mechanisms[name].dims)
    for rank, training in itertools.product(ranks, modes(new(name))):
        module = of_rank(name, rank).train(training)
        for batch, size in ((2, SIZES[rank]), (1, (1,) * rank)):
            tensors = like(sized(module, batch, size), Tensor.requires_grad_)
            output = ask(module, tensors)
            loss(output).backward()
            assert tuple(output.shape) == promised(module, tensors) and output.isfinite().all()
            grads = [t.grad for t in [*tensors, *module.parameters()]]
            assert is_hard(module) or all(g is not None and g.isfinite().all() for g in grads)


# What sees positions as a set


@pytest.mark.parametrize("name", each(SETS))
def test_positions_are_a_set(name: str) -> None:
    """So that it does not matter how they lie: in a row, in a map, in a volume."""
    module = new(name).double()
    (x,) = sized(module, 2, (60,), dtype=torch.float64)
    row = ask(module, (x,))
    for size in ((12, 5), (3, 5, 4)):
        output = ask(module, (x.unflatten(2, size),))
        torch.testing.assert_close(output.flatten(2) if output.ndim > 2 else output, row)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    turned = ask(module, (x[:, :, order],))
    torch.testing.assert_close(turned, row[:, :, order] if row.ndim > 2 else row)


@pytest.mark.parametrize("name", each(SETS))
def test_tokens_are_no_signal_and_the_layout_of_a_volume_does_not_matter(name: str) -> None:
    module = new(name)
    with pytest.raises(ShapeError, match=r"\(2, 35, 16\).*tokens"):
        module(torch.rand(2, 35, 16))
    (x,) = sized(module, 2, SIZES[3])
    y = ask(module, (x.contiguous(memory_format=torch.channels_last_3d),))
    torch.testing.assert_close(y, ask(module, (x,)))


# What looks at neighbours


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_it_is_built_for_one_rank(name: str) -> None:
    for wrong in (4, "3", True):
        with pytest.raises(OptionError, match="dimensions: got"):
            new(name, dimensions=wrong)
    module = new(name)
    with pytest.raises(ShapeError, match="dimensions=3"):
        ask(module, sized(module, 2, SIZES[3]))


def middle(weight: Tensor, like: Tensor) -> Tensor:
    """The slice of a kernel that alone meets a map of one slice."""
    return (
        weight
        if weight.ndim == like.ndim
        else weight[:, :, weight.shape[2] // 2 if weight.shape[2] % 2 else 0]
    )


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_one_slice_is_a_map_and_one_row_a_signal(name: str) -> None:
    for rank in (1, 3):
        check_one_slice(name, rank)


def check_one_slice(name: str, rank: int) -> None:
    more, less = (of_rank(name, r).double() for r in (max(rank, 2), min(rank, 2)))
    small = less.state_dict()
    for key, value in more.state_dict().items():
        small[key].copy_(middle(value, small[key]))
    tensors = sized(less, 2, SIZES[min(rank, 2)], dtype=torch.float64)
    for training in (False, True):
        expected = ask(less.train(training), tensors)
        output = ask(more.train(training), like(tensors, lambda t: t.unsqueeze(2)))
        torch.testing.assert_close(output if expected.ndim == 2 else output.squeeze(2), expected)


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_no_axis_of_a_volume_is_another_than_the_others(name: str) -> None:
    module = of_rank(name, 3).double()
    tensors = sized(module, 2, (4, 5, 3), dtype=torch.float64)
    expected = ask(module, tensors)
    for axes in ((0, 1, 3, 4, 2), (0, 1, 4, 3, 2)):
        turned = copy.deepcopy(module)
        for parameter in turned.parameters():
            if parameter.ndim == 5:
                parameter.data = parameter.data.permute(axes)
        output = ask(turned, like(tensors, lambda t, axes=axes: t.permute(axes)))
        torch.testing.assert_close(output, expected if expected.ndim == 2 else expected.permute(axes))


@pytest.mark.slow
@OTHERS
@pytest.mark.parametrize(
    "name",
    ["cbam"]
    + [
        pytest.param(name, marks=pytest.mark.nightly)
        for name in ("se", "position", "gem", "csra", "non_local", "attention_gate")
    ],
)
def test_compiled_and_exported(name: str, rank: int) -> None:
    module = of_rank(name, rank)
    tensors = sized(module, 2, SIZES[rank])
    expected = ask(module, tensors)
    torch._dynamo.reset()
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    exported = torch.export.export(module, tensors).module()
    for tool in (compiled, exported):
        torch.testing.assert_close(ask(tool, tensors, module.interface), expected)
