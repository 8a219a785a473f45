from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from foveate.mechanisms.branch.feature_fusion import FeatureFusion


def random(channels: int | tuple[int, ...], **options: object) -> FeatureFusion:
    torch.manual_seed(0)
    module = FeatureFusion(channels, **options).double().eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    module.norm.running_mean.normal_()
    module.norm.running_var.uniform_(0.5, 2)
    return module


def mixed(module: FeatureFusion, maps: list[Tensor]) -> Tensor:
    return module.norm(module.mix(torch.cat(maps, 1))).relu()


@pytest.mark.parity("feature_fusion")
def test_equals_the_formula_written_out() -> None:
    module, maps = (
        random((3, 2), out_channels=4, reduction=2),
        [torch.randn(1, c, 3, 4).double() for c in (3, 2)],
    )
    both, norm = torch.cat(maps, 1)[0].numpy(), module.norm
    mix, squeeze, excite = (
        layer.weight.detach().numpy()[:, :, 0, 0] for layer in (module.mix, module.squeeze, module.excite)
    )
    u = np.zeros((4, 3, 4))
    for o in range(4):
        scale = (norm.weight[o] / (norm.running_var[o] + norm.eps).sqrt()).item()
        for i in range(3):
            for j in range(4):
                value = sum(mix[o, c] * both[c, i, j] for c in range(5)) - norm.running_mean[o].item()
                u[o, i, j] = max(0.0, value * scale + norm.bias[o].item())
    hidden = [max(0.0, sum(row[o] * u[o].sum() / 12 for o in range(4))) for row in squeeze]
    gates = [1 / (1 + np.exp(-sum(w * h for w, h in zip(row, hidden, strict=True)))) for row in excite]
    expected = np.stack([u[o] * (1 + gates[o]) for o in range(4)])
    np.testing.assert_allclose(module(maps)[0].detach(), expected, rtol=0, atol=1e-10)


def test_parameters_as_published() -> None:
    assert FeatureFusion(128).cost(1, 1).parameters == 197_120
    assert FeatureFusion((128, 128), out_channels=256).cost(1, 1).parameters == 197_120


def test_a_zero_gate_adds_half() -> None:
    module, maps = random(6), [torch.randn(2, 6, 4, 4).double() for _ in range(2)]
    torch.nn.init.zeros_(module.excite.weight)
    torch.testing.assert_close(module(maps), 1.5 * mixed(module, maps))


def test_the_context_is_resized_to_the_spatial_path() -> None:
    """Known fault elsewhere: doubling breaks, or shifts, where the size is odd."""
    module, fine, coarse = random(6), torch.randn(1, 6, 9, 13).double(), torch.randn(1, 6, 5, 7).double()
    resized = interpolate(coarse, size=(9, 13), mode="bilinear", align_corners=False)
    torch.testing.assert_close(module([fine, coarse]), module([fine, resized]))


def test_channels_of_the_maps_are_taken_in_their_order() -> None:
    module, (one, two) = random(4), [torch.randn(1, 4, 3, 3).double() for _ in range(2)]
    swapped = random(4)
    swapped.mix.weight.data = module.mix.weight.roll(4, dims=1).data
    torch.testing.assert_close(swapped([two, one]), module([one, two]))
