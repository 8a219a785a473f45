from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d
from timm.layers.cbam import CbamModule

from foveate.mechanisms.mixed.cbam import ConvolutionalBlockAttention


def opened() -> ConvolutionalBlockAttention:
    torch.manual_seed(0)
    module = ConvolutionalBlockAttention(12, reduction=3).double().eval()
    norm = module.spatial.norm
    for tensor, value in ((norm.weight.data, 1.3), (norm.bias.data, 0.2), (norm.running_mean, -0.4)):
        tensor.fill_(value)
    norm.running_var.fill_(0.6)
    return module


def naive(x: np.ndarray, module: ConvolutionalBlockAttention) -> np.ndarray:
    """The authors' code, in loops."""
    state = {key: value.numpy() for key, value in module.state_dict().items()}
    w1, w2 = state["channel.squeeze.weight"][:, :, 0, 0], state["channel.excite.weight"][:, :, 0, 0]
    y = np.empty_like(x)
    for b, image in enumerate(x):
        logits = np.zeros(image.shape[0])
        for reduce in (np.mean, np.max):
            summary = np.array([reduce(plane) for plane in image])
            logits += (
                w2 @ np.maximum(0, w1 @ summary + state["channel.squeeze.bias"])
                + state["channel.excite.bias"]
            )
        gated = np.stack([plane / (1 + np.exp(-logit)) for plane, logit in zip(image, logits, strict=True)])
        kernels = state["spatial.conv.weight"][0]
        seen = correlate2d(gated.max(0), kernels[0], "same") + correlate2d(gated.mean(0), kernels[1], "same")
        seen = (seen + 0.4) / np.sqrt(0.6 + 1e-5) * 1.3 + 0.2
        y[b] = gated / (1 + np.exp(-seen))
    return y


def test_equals_the_formula_written_out() -> None:
    module, x = opened(), torch.randn(2, 12, 8, 9, dtype=torch.float64)
    np.testing.assert_allclose(module(x).detach(), naive(x.numpy(), module), rtol=1e-10, atol=1e-12)


@pytest.mark.parity("cbam")
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("flip", [True, False])
def test_equals_timm_after_swapping_the_planes_of_the_kernel(training: bool, flip: bool) -> None:
    module, x = opened().train(training), torch.randn(2, 12, 8, 9, dtype=torch.float64)
    other = CbamModule(12, rd_channels=4, mlp_bias=True).double().train(training)
    other.channel.fc1.load_state_dict(module.channel.squeeze.state_dict())
    other.channel.fc2.load_state_dict(module.channel.excite.state_dict())
    kernel = module.spatial.conv.weight.data
    other.spatial.conv.conv.weight.data = kernel.flip(1) if flip else kernel.clone()
    other.spatial.conv.bn.load_state_dict(module.spatial.norm.state_dict())
    assert torch.allclose(module(x), other(x)) == flip


def test_published_totals() -> None:
    plain = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160}
    with_cbam = {18: 11_779_392, 34: 21_960_468, 50: 28_089_624, 101: 49_330_172}
    widths = {
        18: (64, 128, 256, 512),
        34: (64, 128, 256, 512),
        50: (256, 512, 1024, 2048),
        101: (256, 512, 1024, 2048),
    }
    blocks = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
    for depth, total in with_cbam.items():
        modules = [ConvolutionalBlockAttention(c).cost(7, 7).parameters for c in widths[depth]]
        assert plain[depth] + sum(n * p for n, p in zip(blocks[depth], modules, strict=True)) == total


def test_without_weights_it_quarters() -> None:
    """Known fault elsewhere: an extra residual inside the module, so that it can only add."""
    module, x = ConvolutionalBlockAttention(32), torch.randn(2, 32, 5, 5)
    for parameter in module.channel.parameters():
        torch.nn.init.zeros_(parameter)
    assert torch.equal(module(x), x / 4)
