from __future__ import annotations

import numpy as np
import pytest
import torch

from foveate.errors import OptionError
from foveate.mechanisms.spatial.gem import GeneralizedMeanPool


def test_equals_the_formula_written_out() -> None:
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    expected = np.empty((2, 3))
    for b, c in np.ndindex(2, 3):
        powers = [max(v, 0.01) ** 2.5 for v in x.numpy()[b, c].flat]
        expected[b, c] = (sum(powers) / len(powers)) ** (1 / 2.5)
    module = GeneralizedMeanPool(3, p=2.5, eps=0.01).double()
    np.testing.assert_allclose(module(x).detach(), expected, rtol=1e-10)


def test_one_is_the_mean_and_many_the_maximum() -> None:
    x = torch.rand(2, 8, 6, 7, dtype=torch.float64) + 0.1
    torch.testing.assert_close(GeneralizedMeanPool(8, p=1, learnable=False)(x), x.mean(dim=(2, 3)))
    most = GeneralizedMeanPool(8, p=5000, learnable=False)(x)
    torch.testing.assert_close(most, x.amax(dim=(2, 3)), rtol=1e-3, atol=0)


def test_the_weights_it_implies() -> None:
    module, x = GeneralizedMeanPool(4).double(), torch.rand(2, 4, 3, 3, dtype=torch.float64).requires_grad_()
    seen = []
    module.map.register_forward_hook(lambda _m, _i, out: seen.append(out))
    plain = module(x)
    module.map.recording = True
    shown = module(x)
    torch.testing.assert_close(shown, plain)
    grads = [torch.autograd.grad(z.square().sum(), [x, module.p], retain_graph=True) for z in (plain, shown)]
    torch.testing.assert_close(grads[0], grads[1])
    expected = x**2 / (9 * plain[:, :, None, None] ** 2)
    torch.testing.assert_close(seen, [expected])
    # Euler: a function that scales with its argument is the sum of its gradient times its argument.
    torch.testing.assert_close(torch.autograd.grad(plain.sum(), x)[0], expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
def test_does_not_overflow(dtype: torch.dtype) -> None:
    """Known fault elsewhere: the cube of 41 is more than float16 holds; so is a power of 20 for float32."""
    x = (3000 * torch.rand(2, 4, 9, 9)).to(dtype)
    expected = (x.double() ** 20).mean(dim=(2, 3)) ** (1 / 20)
    close = {"rtol": 2e-3, "atol": 0.0}
    torch.testing.assert_close(GeneralizedMeanPool(4, p=20, learnable=False)(x).double(), expected, **close)


def test_a_map_without_a_positive_value_has_finite_gradients() -> None:
    module, x = GeneralizedMeanPool(4, p=10), torch.full((1, 4, 3, 3), -1.0, requires_grad=True)
    z = module(x)
    z.sum().backward()
    torch.testing.assert_close(z, torch.full((1, 4), 1e-6))
    assert x.grad.isfinite().all() and module.p.grad.isfinite().all()


@pytest.mark.parametrize(("option", "value"), [("p", 0.5), ("p", "three"), ("eps", 0.0)])
def test_impossible_options(option: str, value: object) -> None:
    with pytest.raises(OptionError, match=option):
        GeneralizedMeanPool(4, **{option: value})
