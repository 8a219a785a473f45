from __future__ import annotations

import numpy as np
import pytest
import torch
from timm.layers import SEModule
from torchvision.ops import SqueezeExcitation as TorchvisionSE

from foveate.mechanisms.channel.se import SqueezeExcitation

STAGES = {256: 3, 512: 4, 1024: 6, 2048: 3}  # ResNet-50: width of the sum, and blocks, of each stage
RESNET50 = 25_557_032


def added(widths: dict[int, int], **options: object) -> int:
    return sum(n * SqueezeExcitation(c, **options).cost(7, 7).parameters for c, n in widths.items())


def naive(x: np.ndarray, w1: np.ndarray, b1: np.ndarray, w2: np.ndarray, b2: np.ndarray) -> np.ndarray:
    y = np.empty_like(x)
    for b in range(x.shape[0]):
        mean = [x[b, c].sum() / x[b, c].size for c in range(x.shape[1])]
        hidden = [
            max(0.0, sum(w * m for w, m in zip(row, mean, strict=True)) + s)
            for row, s in zip(w1, b1, strict=True)
        ]
        for c in range(x.shape[1]):
            logit = sum(w * h for w, h in zip(w2[c], hidden, strict=True)) + b2[c]
            y[b, c] = x[b, c] / (1 + np.exp(-logit))
    return y


def test_equals_the_formula_written_out() -> None:
    torch.manual_seed(0)
    module, x = SqueezeExcitation(12, reduction=3).double(), torch.randn(2, 12, 4, 3, dtype=torch.float64)
    squeeze, excite = module.squeeze, module.excite
    weights = [squeeze.weight[:, :, 0, 0], squeeze.bias, excite.weight[:, :, 0, 0], excite.bias]
    expected = naive(x.numpy(), *(w.detach().numpy() for w in weights))
    np.testing.assert_allclose(module(x).detach(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("oracle", [lambda: SEModule(64, rd_channels=4), lambda: TorchvisionSE(64, 4)])
def test_equals_timm_and_torchvision(oracle) -> None:
    torch.manual_seed(0)
    module, other, x = SqueezeExcitation(64), oracle(), torch.randn(2, 64, 7, 5)
    for ours, theirs in ((module.squeeze, other.fc1), (module.excite, other.fc2)):
        theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(module(x), other(x), rtol=1e-6, atol=1e-6)


def test_gates_of_a_half_and_of_one() -> None:
    module, x = SqueezeExcitation(32), torch.randn(2, 32, 5, 5)
    torch.nn.init.zeros_(module.excite.weight)
    torch.nn.init.zeros_(module.excite.bias)
    assert torch.equal(module(x), x / 2)
    torch.nn.init.constant_(module.excite.bias, 100.0)
    assert torch.equal(module(x), x)


def test_shuffled_positions_give_the_shuffled_output() -> None:
    module, x = SqueezeExcitation(16).double(), torch.randn(2, 16, 35, 1, dtype=torch.float64)
    order = torch.randperm(35)
    torch.testing.assert_close(module(x[:, :, order]), module(x)[:, :, order])


def test_published_totals() -> None:
    assert RESNET50 + added(STAGES) == 28_088_024
    assert RESNET50 + added(STAGES, bias=False) == 28_071_976
    ratios = {2: 45_699_240, 4: 35_635_688, 8: 30_603_912, 32: 26_830_080}
    assert {r: RESNET50 + added(STAGES, reduction=r) for r in ratios} == ratios
    stages = [25_582_424, 25_690_280, 26_349_992, 27_136_424]
    assert [RESNET50 + added({c: n}) for c, n in STAGES.items()] == stages
    assert RESNET50 + added({64: 3, 128: 4, 256: 6, 512: 3}) == 25_718_228  # behind the 3x3
    before = {64: 1, 256: 1 + 2, 512: 1 + 3, 1024: 1 + 5, 2048: 2}
    assert RESNET50 + added(before) == 27_562_140
    assert [SqueezeExcitation(c).cost(1, 1).parameters for c in (128, 256, 512, 1024, 2048)] == [
        2_184, 8_464, 33_312, 132_160, 526_464,
    ]  # fmt: skip
    assert SqueezeExcitation(64, least=8).cost(1, 1).parameters == 1_096  # timm's


@pytest.mark.parametrize("channels", [1, 8, 15])
def test_fewer_channels_than_the_reduction_still_gate(channels: int) -> None:
    """Known fault elsewhere: a hidden layer of width 0 halves its input, whatever the weights."""
    module, x = SqueezeExcitation(channels), torch.rand(2, channels, 4, 4)
    torch.nn.init.ones_(module.squeeze.weight)
    torch.nn.init.ones_(module.excite.weight)
    assert module.hidden == 1
    assert not torch.allclose(module(x), x / 2)
