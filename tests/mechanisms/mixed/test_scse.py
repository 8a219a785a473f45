from __future__ import annotations

import numpy as np
import pytest
import torch
from segmentation_models_pytorch.base.modules import SCSEModule

from foveate.mechanisms.mixed.scse import SpatialChannelSqueezeExcitation


def naive(x: np.ndarray, module: SpatialChannelSqueezeExcitation) -> np.ndarray:
    state = {key: value.numpy() for key, value in module.state_dict().items()}
    w1, w2 = state["channel.squeeze.weight"][:, :, 0, 0], state["channel.excite.weight"][:, :, 0, 0]
    y = np.empty_like(x)
    for b, c, i, j in np.ndindex(*x.shape):
        hidden = np.maximum(0, w1 @ x[b].mean(axis=(1, 2)) + state["channel.squeeze.bias"])
        channel = 1 / (1 + np.exp(-(w2[c] @ hidden + state["channel.excite.bias"][c])))
        position = 1 / (
            1 + np.exp(-(state["squeeze.weight"][0, :, 0, 0] @ x[b, :, i, j] + state["squeeze.bias"][0]))
        )
        y[b, c, i, j] = x[b, c, i, j] * channel + x[b, c, i, j] * position
    return y


def test_equals_the_formula_written_out() -> None:
    torch.manual_seed(0)
    module = SpatialChannelSqueezeExcitation(6, reduction=2).double()
    x = torch.randn(2, 6, 4, 3, dtype=torch.float64)
    np.testing.assert_allclose(module(x).detach(), naive(x.numpy(), module), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("reduction", [2, 16])
def test_equals_segmentation_models(reduction: int) -> None:
    torch.manual_seed(0)
    module, other = SpatialChannelSqueezeExcitation(64, reduction=reduction), SCSEModule(64, reduction)
    other.cSE[1].load_state_dict(module.channel.squeeze.state_dict())
    other.cSE[3].load_state_dict(module.channel.excite.state_dict())
    other.sSE[0].load_state_dict(module.squeeze.state_dict())
    x = torch.randn(2, 64, 7, 5)
    torch.testing.assert_close(module(x), other(x), rtol=1e-6, atol=1e-6)


def test_total_of_a_unet() -> None:
    """Unet on ResNet-34 with two classes: one behind each skip and one behind each block."""
    behind_skips, behind_blocks = (512 + 256, 256 + 128, 128 + 64, 64 + 64, 32), (256, 128, 64, 32, 16)
    modules = [SpatialChannelSqueezeExcitation(c).cost(7, 7) for c in behind_skips + behind_blocks]
    assert 24_436_514 + sum(cost.parameters for cost in modules) == 24_550_505


def test_without_weights_the_two_halves_make_one() -> None:
    module, x = SpatialChannelSqueezeExcitation(8), torch.randn(2, 8, 4, 4)
    for parameter in module.parameters():
        torch.nn.init.zeros_(parameter)
    assert torch.equal(module(x), x)


def test_shuffled_positions_give_the_shuffled_output() -> None:
    module, x = SpatialChannelSqueezeExcitation(16).double(), torch.randn(2, 16, 35, 1, dtype=torch.float64)
    order = torch.randperm(35)
    torch.testing.assert_close(module(x[:, :, order]), module(x)[:, :, order])
