from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from foveate.errors import OptionError
from foveate.mechanisms.branch.side_fusion import SideFusion


def sides(channels: int = 1, maps: int = 6) -> list[Tensor]:
    torch.manual_seed(1)
    return list(torch.randn(maps, 2, channels, 5, 4, dtype=torch.float64))


@pytest.mark.parity("side_fusion")
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("recording", [False, True])
def test_conv_equals_the_formula_written_out(channels: int, recording: bool) -> None:
    module, maps = SideFusion(channels).double(), sides(channels)
    module.map.recording = recording
    weights, y = module.fusion_weights(), module(maps)
    assert weights.shape == (channels, 6, channels)
    for o in range(channels):
        expected = module.fuse.bias[o] + sum(
            weights[o, s, c] * maps[s][:, c] for s in range(6) for c in range(channels)
        )
        torch.testing.assert_close(y[:, o], expected, rtol=0, atol=1e-10)


def test_parameters_as_published() -> None:
    assert SideFusion(1).cost(1, 1).parameters == 7


@pytest.mark.parametrize("kind", ["softmax", "spatial"])
def test_a_fresh_one_is_the_mean_of_the_sides(kind: str) -> None:
    maps = sides(2)
    torch.testing.assert_close(SideFusion(2, kind=kind).double()(maps), sum(maps) / 6)


def test_softmax_equals_the_formula_written_out() -> None:
    module, maps = SideFusion(2, kind="softmax").double(), sides(2)
    torch.nn.init.normal_(module.theta)
    raised = [torch.exp(theta) for theta in module.theta]
    expected = sum(r / sum(raised) * x for r, x in zip(raised, maps, strict=True))
    torch.testing.assert_close(module(maps), expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(module.fusion_weights().sum().item(), 1.0)


def test_spatial_equals_the_formula_written_out() -> None:
    module, maps = SideFusion(1, maps=2, kind="spatial").double(), sides(1, 2)
    torch.nn.init.normal_(module.weigh.weight)
    torch.nn.init.normal_(module.weigh.bias)
    y, x = module(maps), torch.cat(maps, 1)[0]
    for i in range(5):
        for j in range(4):
            logits = module.weigh.bias.clone()
            for a in range(max(0, i - 1), min(5, i + 2)):
                for b in range(max(0, j - 1), min(4, j + 2)):
                    logits = logits + module.weigh.weight[:, :, a - i + 1, b - j + 1] @ x[:, a, b]
            raised = logits.exp()
            expected = (raised * x[:, i, j]).sum() / raised.sum()
            torch.testing.assert_close(y[0, 0, i, j], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", ["conv", "softmax", "spatial"])
def test_sides_are_resized_to_the_first_whatever_the_sizes(kind: str) -> None:
    """Known fault elsewhere: sizes that are no multiple of 32 do not fit each other."""
    module = SideFusion(1, maps=3, kind=kind)
    maps = [torch.randn(1, 1, *size) for size in ((33, 47), (17, 24), (9, 12))]
    resized = [interpolate(x, size=(33, 47), mode="bilinear", align_corners=False) for x in maps]
    torch.testing.assert_close(module(maps), module(resized))


def test_weights_that_depend_on_the_input_cannot_be_asked_for() -> None:
    with pytest.raises(OptionError, match="record"):
        SideFusion(1, kind="spatial").fusion_weights()
