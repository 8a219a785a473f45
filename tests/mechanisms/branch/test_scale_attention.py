from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from foveate.errors import OptionError
from foveate.mechanisms.branch.scale_attention import ScaleAttention


def double(channels: int | tuple[int, ...] = 2, **options: object) -> ScaleAttention:
    torch.manual_seed(0)
    return ScaleAttention(channels, **{"hidden": 4, **options}).double()


def maps(*widths: int, size: tuple[int, int] = (5, 4)) -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.randn(1, width, *size, dtype=torch.float64) for width in widths]


def test_equals_the_formula_written_out() -> None:
    module, u = double((1, 2), maps=2, out_channels=3), maps(1, 2)
    x, see, weigh = torch.cat(u, 1)[0], module.see, module.weigh
    for i in range(5):
        for j in range(4):
            z = see.bias.clone()
            for a in range(max(0, i - 1), min(5, i + 2)):
                for b in range(max(0, j - 1), min(4, j + 2)):
                    z = z + see.weight[:, :, a - i + 1, b - j + 1] @ x[:, a, b]
            raised = torch.exp(weigh.weight[:, :, 0, 0] @ z.clamp(min=0) + weigh.bias)
            pairs = zip(module.projections, u, strict=True)
            values = [p.weight[:, :, 0, 0] @ v[0, :, i, j] + p.bias for p, v in pairs]
            expected = sum(r / raised.sum() * v for r, v in zip(raised, values, strict=True))
            torch.testing.assert_close(module(u)[0, :, i, j], expected, rtol=0, atol=1e-10)


def test_parameters_as_published() -> None:
    """F is the width of all scales together: 1024 for two, and for three."""
    assert ScaleAttention(512, maps=2, hidden=512).cost(1, 1).parameters == 4_720_130
    projected = ScaleAttention((512, 256, 256), out_channels=21).cost(1, 1).parameters
    assert projected - (1024 * 21 + 3 * 21) == 4_720_643


@pytest.mark.parametrize("widths", [(2, 2, 2), (1, 2, 3)])
def test_the_baselines_have_nothing_to_learn_but_the_projections(widths: tuple[int, ...]) -> None:
    out, u = None if len(set(widths)) == 1 else 4, maps(*widths)
    for kind in ("mean", "max"):
        module = double(widths, out_channels=out, kind=kind)
        stacked = torch.stack([p(x) for p, x in zip(module.projections, u, strict=True)] if out else u)
        expected = stacked.mean(0) if kind == "mean" else stacked.amax(0)
        torch.testing.assert_close(module(u), expected)
        assert all(name.startswith("projections") for name, _ in module.named_parameters())


def test_zero_weights_are_the_mean_of_the_scales() -> None:
    module, u = double(), maps(2, 2, 2)
    torch.nn.init.zeros_(module.weigh.weight)
    torch.nn.init.zeros_(module.weigh.bias)
    torch.testing.assert_close(module(u), sum(u) / 3)


@pytest.mark.parametrize("scale", [0, 1, 2])
def test_a_bias_of_50_chooses_its_scale(scale: int) -> None:
    module, u = double(), maps(2, 2, 2)
    module.weigh.bias.data[scale] = 50.0
    torch.testing.assert_close(module(u), u[scale])


def test_a_single_scale_comes_out_as_it_is() -> None:
    (x,) = maps(2)
    assert torch.equal(double(maps=1)([x]), x)


def test_swapping_the_scales_swaps_the_weights() -> None:
    module, other, (one, two) = double(maps=2), double(maps=2), maps(2, 2)
    other.see.weight.data = module.see.weight.roll(2, dims=1).data
    other.weigh.weight.data = module.weigh.weight.flip(0).data
    other.weigh.bias.data = module.weigh.bias.flip(0).data
    torch.testing.assert_close(other([two, one]), module([one, two]))


def test_coarser_scales_are_resized_to_the_finest() -> None:
    module, (fine,), (coarse,) = double(maps=2), maps(2, size=(9, 13)), maps(2, size=(5, 7))
    resized = interpolate(coarse, size=(9, 13), mode="bilinear", align_corners=False)
    torch.testing.assert_close(module([fine, coarse]), module([fine, resized]))


def test_unlike_maps_need_a_width() -> None:
    with pytest.raises(OptionError, match=r"channels.*\(8, 16, 24\)"):
        ScaleAttention((8, 16, 24))
