from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from timm.layers import EcaModule

from foveate.errors import OptionError
from foveate.mechanisms.channel.eca import EfficientChannel


def naive(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    y, half, channels = np.empty_like(x), len(kernel) // 2, x.shape[1]
    for b in range(x.shape[0]):
        for c in range(channels):
            logit = 0.0
            for offset in range(-half, half + 1):
                if 0 <= c + offset < channels:
                    logit += kernel[offset + half] * x[b, c + offset].mean()
            y[b, c] = x[b, c] / (1 + math.exp(-logit))
    return y


@pytest.mark.parametrize("channels", [2, 16, 128])
def test_equals_the_formula_written_out(channels: int) -> None:
    torch.manual_seed(0)
    module, x = EfficientChannel(channels).double(), 9 * torch.randn(2, channels, 4, 3, dtype=torch.float64)
    expected = naive(x.numpy(), module.excite.weight.detach().numpy()[0, 0])
    np.testing.assert_allclose(module(x).detach(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("channels", [8, 16, 64, 96, 128, 256, 512, 1024, 2048])
def test_equals_timm(channels: int) -> None:
    torch.manual_seed(0)
    module, other, x = EfficientChannel(channels), EcaModule(channels), torch.randn(2, channels, 3, 4)
    other.conv.load_state_dict(module.excite.state_dict())
    torch.testing.assert_close(module(x), other(x), rtol=1e-6, atol=1e-6)


def test_kernel_sizes_of_the_paper() -> None:
    """Known fault elsewhere: a kernel of 3, whatever the channels."""
    sizes = {64: 3, 128: 5, 256: 5, 512: 5, 1024: 5, 2048: 7}
    assert {c: EfficientChannel(c).kernel_size for c in sizes} == sizes
    blocks = {256: 3, 512: 4, 1024: 6, 2048: 3}
    assert (
        sum(n * EfficientChannel(c).cost(7, 7).parameters for c, n in blocks.items()) == 86
    )  # ECA-ResNet-50


def test_shuffled_positions_give_the_shuffled_output() -> None:
    module, x = EfficientChannel(16).double(), torch.randn(2, 16, 35, 1, dtype=torch.float64)
    order = torch.randperm(35)
    torch.testing.assert_close(module(x[:, :, order]), module(x)[:, :, order])


def test_a_gate_sees_its_neighbours_alone() -> None:
    torch.manual_seed(0)
    module, x = EfficientChannel(16), torch.randn(1, 16, 4, 4)
    other = x.clone()
    other[:, 8] += 1
    changed = [c for c in range(16) if c != 8 and not torch.equal(module(x)[:, c], module(other)[:, c])]
    assert changed == [7, 9]


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(OptionError, match="kernel_size: got 4, expected an odd"):
        EfficientChannel(64, kernel_size=4)
