from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from foveate.errors import OptionError
from foveate.mechanisms.base import build


def between(value: Tensor, down: float, right: float) -> Tensor:
    """Return ``value`` (d, H, W) at a place between its positions; beyond the border it is 0."""
    total = torch.zeros(len(value), dtype=value.dtype)
    top, left = math.floor(down), math.floor(right)
    for i in (top, top + 1):
        for j in (left, left + 1):
            if 0 <= i < value.shape[1] and 0 <= j < value.shape[2]:
                total += (1 - abs(down - i)) * (1 - abs(right - j)) * value[:, i, j]
    return total


def test_equals_the_formula_in_loops(double: object) -> None:
    module = double("deformable", 6, heads=2, points=3, norm=False)
    module.offset.weight.data *= 2
    x = torch.randn(1, 6, 4, 5, dtype=torch.float64)
    with torch.no_grad():
        value, offset, score = (layer(x)[0] for layer in (module.value, module.offset, module.score))
        read = torch.zeros(6, 4, 5, dtype=torch.float64)
        for i in range(4):
            for j in range(5):
                for head in range(2):
                    own = slice(3 * head, 3 * head + 3)
                    weights = score[own, i, j].softmax(dim=0)
                    for point in range(3):
                        right, down = offset[2 * (3 * head + point) :][:2, i, j]
                        sampled = between(value[own], i + float(down), j + float(right))
                        read[own, i, j] += weights[point] * sampled
        torch.testing.assert_close(module(x), x + module.merge(read[None]), rtol=0, atol=1e-10)


def test_fresh_every_position_looks_at_the_same_ring() -> None:
    module = build("deformable", 64)
    ring = module.offset.bias.reshape(8, 4, 2)
    straight = torch.tensor([[1, 0], [1, 1], [0, 1], [-1, 1], [-1, 0], [-1, -1], [0, -1], [1, -1]])
    torch.testing.assert_close(ring[:, 0], straight.float())
    torch.testing.assert_close(ring[:, 3], 4 * straight.float())
    for zero in (module.offset.weight, module.score.weight, module.score.bias):
        assert not zero.any()


def test_without_steps_it_is_two_linear_layers(double: object) -> None:
    """Centres of positions are met exactly: nothing is shifted by half a position."""
    module, x = double("deformable", 8), torch.randn(2, 8, 5, 4, dtype=torch.float64)
    torch.nn.init.zeros_(module.offset.weight)
    torch.nn.init.zeros_(module.offset.bias)
    normed = module.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(module(x), x + module.merge(module.value(normed)), rtol=0, atol=1e-10)


def test_far_from_the_border_a_moved_image_gives_the_moved_output(double: object) -> None:
    module, x = double("deformable", 8), torch.zeros(1, 8, 40, 40, dtype=torch.float64)
    module.offset.weight.data.clamp_(-0.3, 0.3)
    x[..., 15:20, 15:20] = torch.randn(8, 5, 5)
    moved = x.roll((3, 2), dims=(2, 3))
    torch.testing.assert_close(module(moved)[..., 15:26, 14:25], module(x)[..., 12:23, 12:23])


def test_parameters_of_one_scale_of_deformable_detr() -> None:
    """256 channels, 8 heads, 4 points: offsets 64, scores 32 of them, two layers of 256 by 256."""
    parameters = 256 * 64 + 64 + 256 * 32 + 32 + 2 * (256 * 256 + 256)
    assert build("deformable", 256, norm=False).cost(7, 7).parameters == parameters


@pytest.mark.parametrize("option", [{"heads": 5}, {"points": 0}], ids=str)
def test_refuses(option: dict) -> None:
    with pytest.raises(OptionError, match=next(iter(option))):
        build("deformable", 16, **option)
