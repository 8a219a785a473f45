from __future__ import annotations

import numpy as np
import pytest
import torch

from foveate.mechanisms.spatial.second_order_pool import SecondOrderPool


@pytest.mark.parametrize("mean", [True, False])
def test_equals_the_formula_written_out(mean: bool) -> None:
    torch.manual_seed(0)
    module = SecondOrderPool(5, mean=mean).double()
    x, vector = torch.randn(2, 5, 4, 3, dtype=torch.float64), module.score.weight.detach().numpy().ravel()
    expected = np.zeros((2, 5))
    for b, i, j in np.ndindex(2, 4, 3):
        position = x.numpy()[b, :, i, j]
        expected[b] += sum(v * w for v, w in zip(position, vector, strict=True)) * position
    np.testing.assert_allclose(module(x).detach(), expected / (12 if mean else 1), rtol=1e-10, atol=1e-12)


def test_with_a_classifier_it_is_rank_one_second_order_pooling() -> None:
    """The trace of (X^T X) W^T for W = a b^T is a^T (X^T X) b."""
    torch.manual_seed(0)
    module, x = SecondOrderPool(6, mean=False).double(), torch.randn(1, 6, 5, 4, dtype=torch.float64)
    classifier, vector = torch.randn(6, dtype=torch.float64), module.score.weight.flatten()
    rows = x[0].flatten(1).T
    expected = torch.trace(rows.T @ rows @ torch.outer(classifier, vector).T)
    torch.testing.assert_close(module(x)[0] @ classifier, expected)


def test_is_of_second_order_and_does_not_mind_the_order_of_positions() -> None:
    module, x = SecondOrderPool(8).double(), torch.randn(2, 8, 35, 1, dtype=torch.float64)
    torch.testing.assert_close(module(-3 * x), 9 * module(x))
    torch.testing.assert_close(module(x[:, :, torch.randperm(35)]), module(x))
    torch.testing.assert_close(module(torch.cat([x, x], dim=3)), module(x))


def test_half_precision_sums_in_full() -> None:
    x = (100 * torch.rand(1, 8, 40, 40)).half()
    module = SecondOrderPool(8).half()
    torch.nn.init.constant_(module.score.weight, 0.01)
    expected = torch.einsum("bchw,bdhw->bc", x.double() * 0.01, x.double()) / 1600
    torch.testing.assert_close(module(x).double(), expected, rtol=5e-3, atol=0)
