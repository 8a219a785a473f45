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
    for block in (1, 1 << 18):
        monkeypatch.setattr(planes, "BLOCK", block)
        torch.testing.assert_close(planes.convolve(layer, x), layer(x))
        assert torch.autograd.gradcheck(lambda x: planes.convolve(layer, x), (x,))
    slope = torch.randn_like(layer(x))
    wanted = [x, *layer.parameters()]
    ours = torch.autograd.grad(planes.convolve(layer, x), wanted, slope)
    torch.testing.assert_close(ours, torch.autograd.grad(layer(x), wanted, slope))
    assert torch.autograd.gradgradcheck(lambda x: planes.convolve(layer, x).square(), (x,))
