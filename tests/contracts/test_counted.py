"""What a mechanism is said to cost is what can be counted."""

from __future__ import annotations

import pytest
import torch
from contract import EVERY_BUILD, ask, inputs, new, recording
from torch.utils.flop_counter import FlopCounterMode

from foveate.mechanisms.base import Cost


@EVERY_BUILD
@pytest.mark.parametrize("channels", [24, 64])
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
