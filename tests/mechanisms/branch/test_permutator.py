from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import gelu, interpolate

from foveate.mechanisms.branch.permutator import LineMixing, VisionPermutator


def double(channels: int = 8, **options: object) -> VisionPermutator:
    torch.manual_seed(0)
    return VisionPermutator(channels, **options).double()


def mixed(x: Tensor, weight: Tensor, segments: int) -> Tensor:
    """One row (C, W) by the authors' rule: places and slots of a segment as one vector, times a matrix."""
    (channels, length), y = x.shape, torch.zeros_like(x)
    slots = channels // segments
    for segment in range(segments):
        for place in range(length):
            for slot in range(slots):
                row = weight[place * slots + slot]
                for other in range(length):
                    read = x[segment * slots : (segment + 1) * slots, other]
                    y[segment * slots + slot, place] += row[other * slots : (other + 1) * slots] @ read
    return y


def test_equals_the_formula_written_out() -> None:
    module, x = double(size=4), torch.randn(1, 8, 4, 4, dtype=torch.float64)
    with torch.no_grad():
        height = torch.stack([mixed(x[0, :, :, j], module.height.mix.weight, 4) for j in range(4)], dim=2)
        width = torch.stack([mixed(x[0, :, i], module.width.mix.weight, 4) for i in range(4)], dim=1)
        across = torch.einsum("oc,chw->ohw", module.across.weight[:, :, 0, 0], x[0])
        means = (height + width + across).sum(dim=(1, 2)) / 16
        z = gelu(module.squeeze.weight[:, :, 0, 0] @ means + module.squeeze.bias)
        logits = module.select.weight[:, :, 0, 0] @ z + module.select.bias
        chosen = torch.zeros_like(x[0])
        for c in range(8):
            raised = logits[3 * c : 3 * c + 3].exp()  # the authors' order: the three of a channel together
            shares = raised / raised.sum()
            chosen[c] = shares[0] * height[c] + shares[1] * width[c] + shares[2] * across[c]
        expected = torch.einsum("oc,chw->ohw", module.output.weight[:, :, 0, 0], chosen)
        expected += module.output.bias[:, None, None]
    torch.testing.assert_close(module(x)[0], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("length", [1, 3, 4, 7, 12])
def test_other_sizes_act_as_if_the_weights_were_resized(length: int) -> None:
    torch.manual_seed(0)
    mixing, x = LineMixing(8, 4).double(), torch.randn(1, 8, 1, length, dtype=torch.float64)
    weight = mixing.mix.weight.detach().unflatten(0, (4, 2)).unflatten(2, (4, 2)).permute(1, 3, 0, 2)
    resized = interpolate(weight, size=(length, length), mode="bilinear", align_corners=False) * 4 / length
    resized = resized.permute(2, 0, 3, 1).reshape(2 * length, 2 * length)
    torch.testing.assert_close(mixing(x)[0, :, 0], mixed(x[0, :, 0], resized, 4), rtol=0, atol=1e-10)


def test_swapping_height_and_width_swaps_their_mixings() -> None:
    module, other, x = double(), double(), torch.randn(2, 8, 5, 9, dtype=torch.float64)
    other.height, other.width = module.width, module.height
    order = torch.arange(24).view(8, 3)[:, [1, 0, 2]].flatten()
    other.select.weight.data, other.select.bias.data = module.select.weight[order], module.select.bias[order]
    torch.testing.assert_close(other(x.transpose(2, 3)), module(x).transpose(2, 3))


def test_zero_scores_are_the_mean_of_the_three() -> None:
    module, x = double(), torch.randn(2, 8, 8, 8, dtype=torch.float64)
    torch.nn.init.zeros_(module.select.weight)
    torch.nn.init.zeros_(module.select.bias)
    down = module.height(x.transpose(2, 3)).transpose(2, 3)
    torch.testing.assert_close(module(x), module.output((down + module.width(x) + module.across(x)) / 3))


@pytest.mark.parametrize(("channels", "segments"), [(1, 1), (6, 2), (64, 8), (100, 4)])
def test_as_many_segments_as_divide_both(channels: int, segments: int) -> None:
    module = VisionPermutator(channels)
    assert module.width.segments == segments and module.width.slots == channels // segments


def test_parameters_of_the_authors_layers_at_their_own_size() -> None:
    """Three C x C matrices without biases, two layers for the weights, and the last with a bias."""
    c, r = 384, 96
    expected = 3 * c * c + (c * r + r) + (3 * c * r + 3 * c) + c * c + c
    assert VisionPermutator(c, size=32).cost(32, 32).parameters == expected
