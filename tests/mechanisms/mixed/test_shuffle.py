from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import channel_shuffle, group_norm

from foveate.errors import OptionError
from foveate.mechanisms.mixed.shuffle import ShuffleAttention


def new(channels: int, groups: int) -> ShuffleAttention:
    torch.manual_seed(0)
    module = ShuffleAttention(channels, groups=groups).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module


def sigmoid(logit: float) -> float:
    return 1 / (1 + np.exp(-logit))


def test_equals_the_formula_written_out() -> None:
    module, x = new(12, groups=2), torch.randn(2, 12, 4, 3, dtype=torch.float64)
    own = {name: value.detach().numpy() for name, value in module.named_parameters()}
    gated, expected = x.numpy().copy(), np.empty((2, 12, 4, 3))
    for b, c in np.ndindex(2, 12):
        plane, j = x.numpy()[b, c], c % 3  # of the three channels of half a group
        if c % 6 < 3:
            gated[b, c] *= sigmoid(own["channel_weight"][j] * plane.mean() + own["channel_bias"][j])
            continue
        normed = (plane - plane.mean()) / np.sqrt(plane.var() + 1e-5) * own["scale"][j] + own["shift"][j]
        gated[b, c] *= sigmoid(own["position_weight"][j] * normed + own["position_bias"][j])
    for c in range(6):
        expected[:, 2 * c], expected[:, 2 * c + 1] = gated[:, c], gated[:, 6 + c]
    np.testing.assert_allclose(module(x).detach(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parity("shuffle")
@pytest.mark.parametrize("groups", [1, 4, 8])
def test_equals_the_layers_of_torch(groups: int) -> None:
    module, x = new(16, groups), torch.randn(2, 16, 5, 6, dtype=torch.float64)
    column = {name: value[:, None, None] for name, value in module.named_parameters()}
    first, second = x.view(2 * groups, -1, 5, 6).chunk(2, dim=1)
    means = first.mean(dim=(2, 3), keepdim=True)
    normed = group_norm(second, module.width, module.scale, module.shift)
    first = first * (column["channel_weight"] * means + column["channel_bias"]).sigmoid()
    second = second * (column["position_weight"] * normed + column["position_bias"]).sigmoid()
    expected = channel_shuffle(torch.cat([first, second], dim=1).view_as(x), 2)
    torch.testing.assert_close(module(x), expected, rtol=1e-10, atol=1e-12)


def test_a_fresh_module_shuffles_and_scales() -> None:
    x = torch.randn(2, 8, 3, 3)
    order = torch.tensor([0, 4, 1, 5, 2, 6, 3, 7])
    expected = x[:, order] * torch.tensor(1.0).sigmoid()
    torch.testing.assert_close(ShuffleAttention(8, groups=2)(x), expected)


def test_one_position_in_training() -> None:
    """Known fault elsewhere: a group normalisation of one value raises."""
    module = ShuffleAttention(2, groups=1).train()
    assert module(torch.ones(1, 2, 1, 1)).isfinite().all()


def test_groups_and_totals() -> None:
    assert [ShuffleAttention(c).groups for c in (2, 6, 16, 100, 512)] == [1, 3, 8, 50, 64]
    assert ShuffleAttention(512, groups=64).cost(7, 7).parameters == 3 * 512 // 64
    for channels, groups in ((7, None), (16, 3), (24, 8)):
        with pytest.raises(OptionError, match=f"groups.* {channels} channels"):
            ShuffleAttention(channels, groups=groups)
