"""What is done in blocks, in place or by its own backward pass equals the plain way, for each mechanism."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from tests.contracts.contract import each, modes
from torch import Tensor, nn

from foveate.mechanisms import mechanisms
from foveate.mechanisms.base import build
from foveate.mechanisms.kernels import criss_cross_attention, eager_cpu, few_plane_convolution, gating

REFINE = [name for name in sorted(mechanisms) if mechanisms[name].interface == "refine"]


def results(module: nn.Module, x: Tensor, slope: Tensor) -> list[Tensor]:
    """Return the output, the output without gradients, and the gradients of input and parameters."""
    twin, given = copy.deepcopy(module), x.clone().requires_grad_()
    torch.manual_seed(1)
    y = twin(given)
    y.backward(slope)
    torch.manual_seed(1)
    with torch.no_grad():
        still = copy.deepcopy(module)(given)
    return [y.detach(), still, given.grad, *(p.grad for p in twin.parameters())]


@pytest.mark.parametrize("name", each(REFINE))
def test_equals_the_plain_way(name, monkeypatch) -> None:
    torch.manual_seed(0)
    module = build(name, 16, dtype=torch.float64)
    for parameter in module.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    x = torch.randn(3, 16, 7, 5, dtype=torch.float64)
    for layout, training in itertools.product((torch.contiguous_format, torch.channels_last), modes(module)):
        x = x.contiguous(memory_format=layout)
        slope = torch.randn_like(x)
        found = []
        for least in (1 << 40, 1):
            monkeypatch.setattr(eager_cpu, "SMALL", least)
            monkeypatch.setattr(few_plane_convolution, "FEW", least)
            monkeypatch.setattr(criss_cross_attention, "SMALL", least)
            monkeypatch.setattr(gating, "BLOCK", 200)
            found.append(results(module.train(training), x, slope))
        torch.testing.assert_close(*found, rtol=1e-9, atol=1e-11)
