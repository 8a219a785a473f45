from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from foveate.errors import OptionError
from foveate.mechanisms.base import build
from foveate.mechanisms.pairwise.double_attention import DoubleAttention


@torch.no_grad()
def in_loops(module: DoubleAttention, x: Tensor) -> Tensor:
    """Both steps entry by entry: gather over positions, hand out over features."""
    values, gathers, asks = (layer(x)[0].flatten(1) for layer in (module.value, module.key, module.query))
    positions, features = range(values.shape[1]), range(len(gathers))
    gathered = []
    for k in features:
        raised = [math.exp(gathers[k, n]) for n in positions]
        gathered.append(sum(r / sum(raised) * values[:, n] for n, r in enumerate(raised)))
    read = torch.zeros_like(values)
    for n in positions:
        raised = [math.exp(asks[k, n]) for k in features]
        read[:, n] = sum(r / sum(raised) * gathered[k] for k, r in enumerate(raised))
    return x + module.merge(read.unflatten(1, x.shape[2:])[None])


@pytest.mark.parity("double_attention")
@pytest.mark.parametrize("options", [{}, {"reduction": 2, "features": 1}], ids=str)
def test_equals_the_formula_in_loops(options: dict[str, int], double: object) -> None:
    module, x = double("double_attention", 8, **options), torch.randn(1, 8, 3, 2, dtype=torch.float64)
    torch.testing.assert_close(module(x), in_loops(module, x), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("channels", "parameters"), [(16, 16 * 16 + 28), (64, 4 * 64 * 16 + 112)])
def test_parameters_at_the_papers_quarter(channels: int, parameters: int) -> None:
    """Three convolutions C -> C/4 and one back, with biases."""
    assert build("double_attention", channels).cost(9, 9).parameters == parameters


def test_cost_grows_with_the_positions_and_no_faster() -> None:
    module = DoubleAttention(64)
    assert module.cost(40, 30).macs == 1200 * module.cost(1, 1).macs


def test_does_not_know_where_things_are(double: object) -> None:
    module, order = double("double_attention", 16), torch.randperm(24)
    x = torch.randn(2, 16, 24, 1, dtype=torch.float64)
    torch.testing.assert_close(module(x[:, :, order]), module(x)[:, :, order])


def test_one_feature_is_handed_to_all_alike(double: object) -> None:
    module = double("double_attention", 8, features=8, residual=False)
    y = module(torch.randn(1, 8, 4, 5, dtype=torch.float64))
    torch.testing.assert_close(y, y[..., :1, :1].expand_as(y))


def test_a_far_value_of_energies_does_no_harm(double: object) -> None:
    module = double("double_attention", 16).half()
    assert module(torch.full((1, 16, 8, 8), 2000.0).half()).isfinite().all()


@pytest.mark.parametrize("option", ["reduction", "features"])
def test_refuses_zero_by_name(option: str) -> None:
    with pytest.raises(OptionError, match=f"{option}: got 0"):
        DoubleAttention(16, **{option: 0})
