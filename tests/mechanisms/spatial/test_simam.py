from __future__ import annotations

import numpy as np
import pytest
import torch

from foveate.errors import OptionError
from foveate.mechanisms.spatial.simam import SimpleAttention


def naive(x: np.ndarray, lam: float) -> np.ndarray:
    y = np.empty_like(x)
    for b, c, i, j in np.ndindex(*x.shape):
        plane = x[b, c]
        mean = plane.sum() / plane.size
        variance = sum((v - mean) ** 2 for v in plane.flat) / (plane.size - 1)
        energy = (plane[i, j] - mean) ** 2 / (4 * (variance + lam)) + 0.5
        y[b, c, i, j] = plane[i, j] / (1 + np.exp(-energy))
    return y


@pytest.mark.parametrize("lam", [1e-4, 0.3])
def test_equals_the_formula_written_out(lam: float) -> None:
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    expected = naive(x.numpy(), lam)
    np.testing.assert_allclose(SimpleAttention(3, lam=lam)(x), expected, rtol=1e-10, atol=1e-12)


def test_is_the_minimal_energy_of_the_paper() -> None:
    """Equation 5: a neuron's least energy; the gate is the sigmoid of its inverse."""
    x, lam = torch.randn(1, 1, 5, 4, dtype=torch.float64), 1e-4
    mean, variance = x.mean(), x.var()
    energy = 4 * (variance + lam) / ((x - mean) ** 2 + 2 * variance + 2 * lam)
    torch.testing.assert_close(SimpleAttention(1, lam=lam)(x), x * (1 / energy).sigmoid())


def test_one_position_has_finite_values_and_gradients() -> None:
    """Known fault elsewhere: H*W - 1 is 0, and the gate NaN."""
    x = torch.randn(2, 8, 1, 1, requires_grad=True)
    output = SimpleAttention(8)(x)
    output.sum().backward()
    torch.testing.assert_close(output, x * torch.tensor(0.5).sigmoid())
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_as_good_as_its_rounding(dtype: torch.dtype) -> None:
    """Known fault elsewhere: the sum of squares overflows float16, and the gates are off by a fifth."""
    x = (300 * torch.randn(2, 4, 28, 28)).to(dtype)
    torch.testing.assert_close(SimpleAttention(4)(x), SimpleAttention(4)(x.float()).to(dtype))


def test_does_not_depend_on_the_sign_or_on_the_order_of_positions() -> None:
    module, x = SimpleAttention(4), torch.randn(2, 4, 35, 1, dtype=torch.float64)
    order = torch.randperm(35)
    torch.testing.assert_close(module(-x), -module(x))
    torch.testing.assert_close(module(x[:, :, order]), module(x)[:, :, order])


@pytest.mark.parametrize("lam", [0.0, -1.0, float("inf"), "much"])
def test_impossible_lam(lam: object) -> None:
    with pytest.raises(OptionError, match="lam"):
        SimpleAttention(4, lam=lam)
