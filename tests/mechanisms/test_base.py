"""What the layers that mechanisms share do beyond torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from foveate.mechanisms.batch_norm import BatchNorm


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["NCHW", "NHWC"])
def test_a_gradient_laid_out_by_positions_is_read_as_what_it_is(
    layout: torch.memory_format, batch: int, training: bool
) -> None:
    torch.manual_seed(0)
    norm = BatchNorm(6).double().train(training)
    nn.init.normal_(norm.weight)
    x = torch.randn(batch, 6, 3, 4, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    slope = torch.randn_like(x, memory_format=torch.contiguous_format)
    by_position = slope.detach().flatten(2).mT.contiguous().mT.unflatten(2, (3, 4))
    assert torch.equal(by_position, slope) and by_position.stride() != slope.stride()
    plain, moved = (torch.autograd.grad(norm(x), x, each)[0] for each in (slope, by_position))
    torch.testing.assert_close(moved, plain)
    assert moved.is_contiguous(memory_format=layout) or not training
