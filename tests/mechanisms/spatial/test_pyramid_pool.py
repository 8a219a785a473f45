from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn.functional import adaptive_max_pool2d, max_pool2d

from foveate.errors import OptionError
from foveate.mechanisms.spatial.pyramid_pool import PyramidPool, regions

LEVELS = [(1, 2, 3, 6), (1, 2, 4), (1, 2, 3, 4), (5, 1)]


def loud(channels: int, **options: object) -> PyramidPool:
    """One with its weights, and its vectors for the levels, away from their start."""
    torch.manual_seed(0)
    module = PyramidPool(channels, **options).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("size", [(13, 13), (10, 17), (7, 5), (1, 9), (1, 1)])
def test_regions_equal_adaptive_pooling(levels: tuple[int, ...], size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size) - 5  # negative: a zero from padding would win
    expected = torch.cat([adaptive_max_pool2d(x, n).flatten(2) for n in levels], dim=2)
    assert torch.equal(regions(x, levels).transpose(1, 2), expected)


@pytest.mark.parametrize("level", [1, 2, 3, 4, 6])
def test_at_13_they_are_the_windows_of_the_paper(level: int) -> None:
    x = torch.randn(2, 3, 13, 13)
    windows = max_pool2d(x, kernel_size=-(-13 // level), stride=13 // level)
    assert torch.equal(regions(x, [level]).transpose(1, 2), windows.flatten(2))


def test_the_gradients_equal_those_of_adaptive_pooling() -> None:
    x = torch.randn(2, 3, 9, 11, dtype=torch.float64, requires_grad=True)
    expected = torch.cat([adaptive_max_pool2d(x, n).flatten(2) for n in (1, 3, 6)], dim=2)
    weights = torch.randn_like(expected)
    grads = [
        torch.autograd.grad((found * weights).sum(), x)[0]
        for found in (regions(x, (1, 3, 6)).transpose(1, 2), expected)
    ]
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize("gated", [False, True])
def test_equals_the_formula_written_out(gated: bool) -> None:
    module, x = loud(4, levels=(1, 3), hidden=5, gated=gated), torch.randn(1, 4, 7, 6, dtype=torch.float64)
    found = regions(x, (1, 3))[0]
    scores = []
    for k, region in enumerate(found):
        placed = region + module.level[0 if k == 0 else 1]
        hidden = (module.embed.weight @ placed + module.embed.bias).tanh()
        if gated:
            hidden = hidden * (module.gate_hidden.weight @ placed + module.gate_hidden.bias).sigmoid()
        scores.append((module.score.weight[0] * hidden).sum().exp())
    expected = sum(s * r for s, r in zip(scores, found, strict=True)) / sum(scores)
    torch.testing.assert_close(module(x)[0], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("levels", LEVELS)
def test_a_constant_map_gives_its_constant(levels: tuple[int, ...]) -> None:
    values = torch.randn(2, 6, 1, 1, dtype=torch.float64)
    torch.testing.assert_close(loud(6, levels=levels)(values.expand(2, 6, 9, 7)), values[:, :, 0, 0])


def test_without_scores_it_is_the_mean_of_the_regions_and_with_great_ones_the_best() -> None:
    module, x = loud(6), torch.randn(2, 6, 9, 7, dtype=torch.float64)
    seen = []
    module.map.register_forward_hook(lambda _m, _i, out: seen.append(out))
    module(x)
    assert seen[0].shape == (2, 50)
    torch.testing.assert_close(seen[0].sum(dim=1), torch.ones(2, dtype=torch.float64))
    module.score.weight.data *= 1e6
    best = regions(x, module.levels)[torch.arange(2), seen[0].argmax(dim=1)]
    torch.testing.assert_close(module(x), best)
    module.score.weight.data *= 0
    torch.testing.assert_close(module(x), regions(x, module.levels).mean(dim=1))


def test_the_order_of_the_levels_does_not_matter() -> None:
    module, x = loud(6), torch.randn(2, 6, 9, 7, dtype=torch.float64)
    for order in itertools.islice(itertools.permutations(range(4)), 1, 24, 5):
        other = loud(6, levels=[module.levels[i] for i in order])
        other.level.data = module.level.data[list(order)]
        torch.testing.assert_close(other(x), module(x))


def test_level_one_alone_is_the_greatest_value() -> None:
    for size in ((13, 13), (10, 17)):
        x = torch.randn(2, 6, *size, dtype=torch.float64)
        torch.testing.assert_close(loud(6, levels=(1,))(x), x.amax(dim=(2, 3)))


@pytest.mark.parametrize("levels", [(), (1, 1), (0, 2), (1, 2.5), "12", 3])
def test_impossible_levels(levels: object) -> None:
    with pytest.raises(OptionError, match="levels"):
        PyramidPool(8, levels=levels)
