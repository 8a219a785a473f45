from __future__ import annotations

import numpy as np
import pytest
import torch

from foveate.errors import OptionError
from foveate.mechanisms.spatial.sge import SpatialGroupEnhance


def naive(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, *, unbiased: bool) -> np.ndarray:
    y, width = np.empty_like(x), x.shape[1] // len(weight)
    for b in range(x.shape[0]):
        for g in range(len(weight)):
            group = x[b, g * width : (g + 1) * width]
            mean = [plane.sum() / plane.size for plane in group]
            likeness = np.zeros(x.shape[2:])
            for i, j in np.ndindex(*likeness.shape):
                likeness[i, j] = sum(mean[c] * group[c, i, j] for c in range(width))
            away = likeness - likeness.mean()
            deviation = np.sqrt((away**2).sum() / (away.size - unbiased)) + 1e-5
            gate = 1 / (1 + np.exp(-(weight[g] * away / deviation + bias[g])))
            y[b, g * width : (g + 1) * width] = group * gate
    return y


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("groups", [1, 4, 12])
def test_equals_the_formula_written_out(unbiased: bool, groups: int) -> None:
    torch.manual_seed(0)
    module = SpatialGroupEnhance(12, groups=groups, unbiased=unbiased).double()
    torch.nn.init.normal_(module.weight)
    torch.nn.init.normal_(module.bias)
    x = torch.randn(2, 12, 4, 3, dtype=torch.float64)
    weight, bias = (p.detach().numpy().ravel() for p in (module.weight, module.bias))
    expected = naive(x.numpy(), weight, bias, unbiased=unbiased)
    np.testing.assert_allclose(module(x).detach(), expected, rtol=1e-10, atol=1e-12)


def test_starts_at_one_gate_for_all() -> None:
    x = torch.randn(2, 16, 5, 4)
    torch.testing.assert_close(SpatialGroupEnhance(16, groups=4)(x), x * torch.tensor(1.0).sigmoid())


def test_one_position_has_finite_values_and_gradients() -> None:
    """Known fault elsewhere: the deviation of one number is NaN."""
    module, x = SpatialGroupEnhance(16, groups=4), torch.randn(1, 16, 1, 1, requires_grad=True)
    torch.nn.init.ones_(module.weight)
    module(x).sum().backward()
    assert all(t.grad.isfinite().all() for t in (x, *module.parameters()))


def test_a_scaled_group_has_the_same_gates() -> None:
    module, x = SpatialGroupEnhance(8, groups=2).double(), torch.randn(2, 8, 6, 5, dtype=torch.float64)
    torch.nn.init.normal_(module.weight)
    torch.testing.assert_close(module(50 * x) / 50, module(x), rtol=1e-3, atol=1e-3)
    others = torch.cat([x[:, :4], torch.randn_like(x[:, 4:])], dim=1)
    assert torch.equal(module(others)[:, :4], module(x)[:, :4])


def test_groups() -> None:
    assert [SpatialGroupEnhance(c).groups for c in (1, 24, 64, 100, 512)] == [1, 24, 64, 50, 64]
    assert SpatialGroupEnhance(512).cost(7, 7).parameters == 2 * 64
    with pytest.raises(OptionError, match=r"groups: got 7.* 16"):
        SpatialGroupEnhance(16, groups=7)
