from __future__ import annotations

import pytest
import torch
from timm.layers.selective_kernel import SelectiveKernelAttn
from torch import Tensor

from foveate.errors import OptionError
from foveate.mechanisms.branch.sk import SelectiveKernel


def random(seed: int, maps: int = 2, channels: int = 12, **options: object) -> SelectiveKernel:
    torch.manual_seed(seed)
    module = SelectiveKernel(channels, maps=maps, **options).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    module.norm.running_mean.normal_()
    module.norm.running_var.uniform_(0.5, 2)
    return module.eval()


def inputs(maps: int = 2, channels: int = 12) -> list[Tensor]:
    return list(torch.randn(maps, 2, channels, 5, 4, dtype=torch.float64))


@pytest.mark.parametrize("maps", [1, 2, 3])
def test_equals_the_formula_written_out(maps: int) -> None:
    module, u = random(0, maps, hidden=6), inputs(maps)
    squeeze, select = module.squeeze.weight[:, :, 0, 0], module.select.weight[:, :, 0, 0]
    norm, expected = module.norm, torch.zeros_like(u[0])
    for b in range(2):
        s = torch.stack([sum(x[b, c].sum() for x in u) / 20 for c in range(12)])
        z = (squeeze @ s - norm.running_mean) / (norm.running_var + 1e-5).sqrt() * norm.weight + norm.bias
        z = z.clamp(min=0)
        for c in range(12):
            raised = [torch.exp(select[i * 12 + c] @ z) for i in range(maps)]
            expected[b, c] = sum(r / sum(raised) * x[b, c] for r, x in zip(raised, u, strict=True))
    torch.testing.assert_close(module(u), expected, rtol=0, atol=1e-10)


@pytest.mark.parity("sk")
def test_equals_timm() -> None:
    module, u = random(1, hidden=8), inputs()
    other = SelectiveKernelAttn(12, num_paths=2, attn_channels=8).double().eval()
    for ours, theirs in ((module.squeeze, other.fc_reduce), (module.norm, other.bn)):
        theirs.load_state_dict(ours.state_dict())
    other.fc_select.load_state_dict(module.select.state_dict())
    both = torch.stack(u, dim=1)
    torch.testing.assert_close(module(u), (both * other(both)).sum(1), rtol=0, atol=1e-12)


def test_equal_maps_come_out_as_they_are() -> None:
    module, (x, _) = random(2), inputs()
    torch.testing.assert_close(module([x, x]), x)


def test_a_zero_selection_is_the_mean() -> None:
    module, u = random(3), inputs()
    torch.nn.init.zeros_(module.select.weight)
    torch.testing.assert_close(module(u), (u[0] + u[1]) / 2)


def test_permuting_the_maps_permutes_the_weights() -> None:
    module, other, u = random(4, 3), random(4, 3), inputs(3)
    order = [2, 0, 1]
    other.select.weight.data = module.select.weight.unflatten(0, (3, 12))[order].flatten(0, 1).data
    torch.testing.assert_close(other([u[i] for i in order]), module(u))


def test_the_hidden_width_never_falls_under_32() -> None:
    assert [SelectiveKernel(c).hidden for c in (8, 128, 512, 1024)] == [32, 32, 32, 64]


def test_maps_of_unlike_channels_are_refused() -> None:
    with pytest.raises(OptionError, match=r"channels.*\(8, 16\)"):
        SelectiveKernel((8, 16))
