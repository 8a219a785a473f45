from __future__ import annotations

import pytest
import torch

from foveate.mechanisms.kernels import few_plane_convolution as planes


@pytest.mark.parametrize("size", [(9, 4), (1, 1), (2, 11)], ids=str)
@pytest.mark.parametrize(("kernel", "bias"), [(7, False), (3, True)])
def test_convolution_of_planes(size, kernel, bias, monkeypatch) -> None:
    """Also maps smaller than the kernel, in one block and in several."""
    monkeypatch.setattr(planes, "FEW", 1)
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=bias).double()
    x = torch.randn(3, 2, *size, dtype=torch.float64, requires_grad=True)
    expected, wanted = layer(x), [x, *layer.parameters()]
    slope = torch.randn_like(expected, requires_grad=True)
    for block in (1, 1 << 18):
        monkeypatch.setattr(planes, "BLOCK", block)
        torch.testing.assert_close(planes.convolve(layer, x), expected)
        ours = torch.autograd.grad(planes.convolve(layer, x), wanted, slope)
        torch.testing.assert_close(ours, torch.autograd.grad(layer(x), wanted, slope))
    found = []
    for by in (planes.convolve, lambda layer, x: layer(x)):
        first = torch.autograd.grad(by(layer, x).square(), wanted, slope, create_graph=True)
        found.append(torch.autograd.grad(sum(g.square().sum() for g in first), [*wanted, slope]))
    torch.testing.assert_close(*found)
