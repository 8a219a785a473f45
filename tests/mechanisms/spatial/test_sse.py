from __future__ import annotations

import numpy as np
import torch
from segmentation_models_pytorch.base.modules import SCSEModule

from foveate.mechanisms.spatial.sse import SpatialSqueezeExcitation


def test_equals_the_formula_written_out() -> None:
    torch.manual_seed(0)
    module, x = SpatialSqueezeExcitation(6).double(), torch.randn(2, 6, 4, 3, dtype=torch.float64)
    weight, bias = module.squeeze.weight.detach().numpy()[0, :, 0, 0], module.squeeze.bias.item()
    expected = np.empty(x.shape)
    for b, c, i, j in np.ndindex(*x.shape):
        logit = sum(w * v for w, v in zip(weight, x.numpy()[b, :, i, j], strict=True)) + bias
        expected[b, c, i, j] = x[b, c, i, j] / (1 + np.exp(-logit))
    np.testing.assert_allclose(module(x).detach(), expected, rtol=1e-10, atol=1e-12)


def test_equals_the_spatial_half_of_segmentation_models() -> None:
    torch.manual_seed(0)
    module, other, x = SpatialSqueezeExcitation(64), SCSEModule(64), torch.randn(2, 64, 7, 5)
    other.sSE[0].load_state_dict(module.squeeze.state_dict())
    torch.testing.assert_close(module(x), x * other.sSE(x), rtol=1e-6, atol=1e-6)


def test_without_weights_half_of_the_map() -> None:
    module, x = SpatialSqueezeExcitation(8), torch.randn(2, 8, 4, 4)
    for parameter in module.parameters():
        torch.nn.init.zeros_(parameter)
    assert torch.equal(module(x), x / 2)


def test_a_moved_map_gives_the_moved_gates() -> None:
    module, x = SpatialSqueezeExcitation(16).double(), torch.randn(2, 16, 6, 7, dtype=torch.float64)
    torch.testing.assert_close(module(x.roll((2, 3), (2, 3))), module(x).roll((2, 3), (2, 3)))
