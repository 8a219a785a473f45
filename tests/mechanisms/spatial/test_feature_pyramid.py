from __future__ import annotations

import pytest
import torch
from segmentation_models_pytorch.decoders.pan.decoder import FPABlock
from torch import nn

from foveate.mechanisms.spatial.feature_pyramid import FeaturePyramidAttention

SAME = {
    "to_half.": "down1.1.",
    "to_quarter.": "down2.1.",
    "to_eighth.0.": "down3.1.",
    "to_eighth.1.": "down3.2.",
    "from_quarter.": "conv2.",
    "from_half.": "conv1.",
    "overall.": "branch1.1.",
    "values.": "mid.0.",
}


def pair(channels: int) -> tuple[FeaturePyramidAttention, nn.Module]:
    """Ours, and theirs with the same weights, all of them away from their start."""
    torch.manual_seed(0)
    ours = FeaturePyramidAttention(channels, width=channels).double().eval()
    theirs = FPABlock(channels, channels).double().eval()
    state = theirs.state_dict()
    for key, value in ours.state_dict().items():
        if value.ndim:
            value.add_(0.1 * torch.rand_like(value))
        for mine, other in SAME.items():
            if key.startswith(mine):
                place, name = key.removeprefix(mine).split(".")
                state[f"{other}{('conv', 'bn')[int(place)]}.{name}"] = value
    theirs.load_state_dict(state)
    return ours, theirs


@pytest.mark.parametrize("size", [(8, 8), (16, 24)])
def test_equals_segmentation_models(size: tuple[int, int]) -> None:
    ours, theirs = pair(12)
    x = torch.randn(2, 12, *size, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (3, 7)])
def test_small_maps_work(size: tuple[int, int]) -> None:
    """Known fault elsewhere: maps below 8 x 8 have nothing left to pool."""
    ours, theirs = pair(12)
    x = torch.randn(2, 12, *size, dtype=torch.float64)
    assert ours(x).isfinite().all() and ours(x).shape == x.shape
    with pytest.raises(RuntimeError):
        theirs(x)


def test_published_total() -> None:
    """The block of PAN on ResNet-50, whose 32 channels here lead back to 2048."""
    back = 32 * 2048 + 2048
    assert FeaturePyramidAttention(2048).cost(16, 16).parameters - back == 231_751
    assert sum(p.numel() for p in FPABlock(2048, 32).parameters()) == 231_751


def test_without_a_pyramid_only_the_mean_is_left() -> None:
    ours, _ = pair(8)
    ours.map.register_forward_hook(lambda _m, _i, out: torch.zeros_like(out))
    x = torch.randn(2, 8, 9, 6, dtype=torch.float64)
    expected = ours.overall(x.mean(dim=(2, 3), keepdim=True)).expand_as(x)
    torch.testing.assert_close(ours(x), expected)


@pytest.mark.parametrize("size", [(11, 5), (8, 8), (24, 17), (3, 40)])
def test_the_exported_steps_are_the_same_numbers(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    ours, _ = pair(8)
    x = torch.randn(2, 8, *size, dtype=torch.float64)
    eager = ours(x)
    for traced in ("is_compiling", "is_exporting"):
        monkeypatch.setattr(torch.compiler, traced, lambda: True)
        torch.testing.assert_close(ours(x), eager, rtol=1e-10, atol=1e-12)
