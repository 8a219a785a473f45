from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.mechanisms.spatial.attention_pool import AttentionPool


def make(**options: object) -> AttentionPool:
    torch.manual_seed(0)
    return AttentionPool(6, **options).double()


def seen(module: AttentionPool, x: Tensor) -> Tensor:
    found: list[Tensor] = []
    hook = module.map.register_forward_hook(lambda _m, _i, weights: found.append(weights))
    module(x)
    hook.remove()
    return found[0]


def test_equals_the_formula_in_loops() -> None:
    module, x = make(hidden=5), torch.randn(2, 6, 3, 4, dtype=torch.float64)
    matrix, bias, vector = module.embed.weight[:, :, 0, 0], module.embed.bias, module.score.weight[0, :, 0, 0]
    for b in range(2):
        points = x[b].flatten(1).T
        raised = [torch.exp(vector @ torch.tanh(matrix @ point + bias)) for point in points]
        expected = sum(r / sum(raised) * point for r, point in zip(raised, points, strict=True))
        torch.testing.assert_close(module(x)[b], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("which", ["score", "embed"])
def test_zero_weights_are_global_average_pooling(which: str) -> None:
    module, x = make(), torch.randn(2, 6, 7, 5, dtype=torch.float64)
    nn.init.zeros_(getattr(module, which).weight)
    torch.testing.assert_close(module(x), x.mean((2, 3)), rtol=0, atol=1e-15)


def test_sharp_scores_pick_one_position() -> None:
    module = AttentionPool(1, hidden=1)
    nn.init.ones_(module.embed.weight)
    nn.init.zeros_(module.embed.bias)
    nn.init.constant_(module.score.weight, 1e4)
    x = torch.tensor([[[[0.0, 0.1], [0.7, 0.2]]]])
    torch.testing.assert_close(module(x), torch.tensor([[0.7]]))


def test_the_map_sums_to_one_and_lies_where_the_position_does() -> None:
    module, x = make(), torch.randn(2, 6, 3, 4, dtype=torch.float64)
    weights = seen(module, x)
    assert weights.shape == (2, 1, 3, 4)
    torch.testing.assert_close(weights.sum((2, 3)), torch.ones(2, 1, dtype=torch.float64))
    torch.testing.assert_close(module(x), (weights * x).sum((2, 3)))


def test_a_shuffle_of_the_positions_changes_nothing() -> None:
    module, x = make(), torch.randn(1, 6, 12, 1, dtype=torch.float64)
    torch.testing.assert_close(module(x[:, :, torch.randperm(12)]), module(x))


@pytest.mark.parametrize(("channels", "hidden"), [(16, 64), (256, 64), (512, 128)])
def test_default_width(channels: int, hidden: int) -> None:
    assert AttentionPool(channels).hidden == hidden


def test_refuses_a_width_of_zero() -> None:
    with pytest.raises(OptionError, match="hidden: got 0"):
        AttentionPool(16, hidden=0)
