"""What a mechanism is said to cost is what can be counted."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from foveate.mechanisms import mechanisms
from foveate.mechanisms.base import Mechanism
from foveate.mechanisms.facets import Cost
from tests.contracts.contract import (
    EVERY,
    NAMES,
    ask,
    builds,
    each,
    inputs,
    new,
    of_rank,
    recording,
    size_for,
    sized,
    told,
)


def counted(module: Mechanism, tensors: tuple[Tensor, ...]) -> Cost:
    """Count it for one of two images."""
    stored = [*module.parameters(), *module.buffers()]
    more = {
        torch.ops.aten.mv: lambda a, b, **_: 2 * a[0] * a[1],
        torch.ops.aten.dot: lambda a, b, **_: 2 * a[0],
    }
    counter = FlopCounterMode(display=False, custom_mapping=more)
    with recording(module.requires_grad_(False)), counter:
        ask(module, tensors)
    return Cost(
        parameters=sum(p.numel() for p in module.parameters()),
        macs=counter.get_total_flops() // 4,  # two operations a multiply-add, two images
        bytes=sum(tensor.nbytes for tensor in stored),
    )


def check_cost(module: Mechanism, height: int, width: int) -> None:
    tensors = inputs(module, 2, height, width)
    if module.interface == "read":  # the closed form is for one query
        tensors = (tensors[0][:, :1], tensors[1])
    stated = module.cost(*size_for(module, height, width))
    assert stated == counted(module, tensors)
    assert all(type(value) is int for value in vars(stated).values())


@EVERY
def test_cost_is_what_can_be_counted(name: str) -> None:
    for channels, *sizes in ((24, (7, 5), (1, 1)), (64, (12, 20), (6, 9))):
        module = new(name, channels)
        for height, width in sizes:
            check_cost(module, height, width)


@EVERY
def test_cost_of_every_option(name: str) -> None:
    for options in builds(name)[1:]:
        module = new(name, 24, **options)
        for height, width in ((7, 5), (1, 1)):
            with told(options):
                check_cost(module, height, width)


@pytest.mark.parametrize("name", each([name for name in NAMES if mechanisms[name].dims == (1, 2, 3)]))
def test_cost_of_signals_and_volumes(name: str) -> None:
    for rank in (1, 3):
        module = of_rank(name, rank, 24)
        for size in ((11, 5, 4)[:rank], (1, 1, 1)[:rank]):
            assert module.cost(*size) == counted(module, sized(module, 2, size))
