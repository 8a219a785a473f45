from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.mechanisms.base import Mechanism, build


def mixed(module: Mechanism, x: Tensor) -> Tensor:
    """Return, in loops, the weighted sums over the 3x3 places around each position."""
    static, value = module.key(x), module.value(x)
    weights = module.predict(torch.cat([x, static], dim=1))[0].unflatten(0, (module.sets, 9))
    total = torch.zeros_like(x)
    channels, height, width = x.shape[1:]
    own = [c % module.sets for c in range(channels)]
    for i in range(height):
        for j in range(width):
            for place in range(9):
                row, column = i + place // 3 - 1, j + place % 3 - 1
                if 0 <= row < height and 0 <= column < width:
                    total[0, :, i, j] += weights[own, place, i, j] * value[0, :, row, column]
    return total


@pytest.mark.parity("cot")
@pytest.mark.parametrize(("channels", "sets"), [(16, 2), (12, 3), (5, 5)])
@pytest.mark.parametrize("fuse", ["attention", "sum"])
def test_equals_the_formula_in_loops(channels: int, sets: int, fuse: str, double: object) -> None:
    module = double("cot", channels, fuse=fuse)
    x = torch.randn(1, channels, 3, 4, dtype=torch.float64)
    with torch.no_grad():
        static = module.key(x)
        dynamic = nn.functional.silu(module.norm(mixed(module, x)))
        expected = static + dynamic
        if fuse == "attention":
            means = expected.mean(dim=(2, 3), keepdim=True)
            scores = module.choose.score(module.choose.norm(module.choose.squeeze(means)).relu())
            raised = scores[0, :, 0, 0].exp().reshape(channels, 2, 1, 1)
            chosen = raised / raised.sum(dim=1, keepdim=True)
            expected = chosen[:, 0] * dynamic + chosen[:, 1] * static
        assert module.sets == sets
        torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-10)


def test_every_place_around_has_a_weight_of_its_own(double: object) -> None:
    """Known fault elsewhere: the weights of the nine places are averaged into one, and only it is used."""
    module, x = double("cot", 8, fuse="sum"), torch.randn(1, 8, 5, 5, dtype=torch.float64)
    value = torch.randn(1, 8, 5, 5, dtype=torch.float64, requires_grad=True)
    weights = module.predict(torch.cat([x, module.key(x)], dim=1)).unflatten(1, (1, 9))
    (slope,) = torch.autograd.grad(module._mix(value, weights)[0, 3, 2, 2], value)
    torch.testing.assert_close(slope[0, 3, 1:4, 1:4], weights[0, 0, :, 2, 2].reshape(3, 3))
    assert not slope[0, :3].any() and slope.count_nonzero() == 9


def test_parameters_as_in_the_authors_layers() -> None:
    """Counted by hand from their code for 64 channels; see the spec of each layer."""
    key, value, norm = 64 * 16 * 9 + 128, 64 * 64 + 128, 128
    predict = 128 * 32 + 64 + 32 * 72 + 72 + 144
    choose = 64 * 32 + 32 + 64 + 32 * 128 + 128
    assert build("cot", 64).cost(7, 7).parameters == key + value + norm + predict + choose


def test_refuses_a_single_place_and_unknown_fusions() -> None:
    with pytest.raises(OptionError, match="kernel_size"):
        build("cot", 16, kernel_size=1)
    with pytest.raises(OptionError, match=r"fuse.*sum"):
        build("cot", 16, fuse="cat")
