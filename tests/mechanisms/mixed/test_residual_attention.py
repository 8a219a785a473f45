from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d, pad

from foveate.mechanisms.mixed.residual_attention import ResidualAttention


def random_residual(**options: object) -> ResidualAttention:
    torch.manual_seed(0)
    module = ResidualAttention(4, **{"reduction": 2, **options}).double().eval()
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5 if "var" in name else 0.5 * torch.randn_like(tensor))
    return module


def layer(x: Tensor, norm: nn.BatchNorm2d, conv: nn.Conv2d) -> Tensor:
    x = batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps).relu()
    return conv2d(x, conv.weight, conv.bias, padding=conv.kernel_size[0] // 2)


def units(x: Tensor, block: nn.Sequential) -> Tensor:
    for each in block:
        change = x
        for at in (0, 3, 6):
            change = layer(change, each.change[at], each.change[at + 2])
        x = x + change
    return x


def halved(x: Tensor) -> Tensor:
    """The greatest of the 3 x 3 values around every second position."""
    around = pad(x, (1, 1, 1, 1), value=-torch.inf)
    rows = [
        torch.stack([around[:, :, i : i + 3, j : j + 3].amax(dim=(2, 3)) for j in range(0, x.shape[3], 2)], 2)
        for i in range(0, x.shape[2], 2)
    ]
    return torch.stack(rows, dim=2)


def enlarged(x: Tensor, size: torch.Size) -> Tensor:
    """Bilinear, half-pixel centres, one axis after the other as a matrix product."""
    for axis, out in zip((2, 3), size, strict=True):
        n = x.shape[axis]
        matrix = torch.zeros(out, n, dtype=x.dtype)
        for i in range(out):
            place = max(0.0, (i + 0.5) * n / out - 0.5)
            low = min(int(place), n - 1)
            matrix[i, low] += 1 - (place - low)
            matrix[i, min(low + 1, n - 1)] += place - low
        x = torch.movedim(torch.movedim(x, axis, -1) @ matrix.T, -1, axis)
    return x


def test_equals_the_formula_written_out_with_two_levels() -> None:
    module, x = random_residual(mask=1), torch.randn(2, 4, 9, 6, dtype=torch.float64)
    z = units(x, module.before)
    one = units(halved(z), module.down[0])
    two = units(units(halved(one), module.down[1]), module.up[1])
    mask = enlarged(units(one + enlarged(two, one.shape[2:]), module.up[0]), z.shape[2:])
    for at in (0, 3):
        mask = layer(mask, module.logits[at], module.logits[at + 2])
    trunk = units(z, module.trunk)
    expected = units((1 + 1 / (1 + torch.exp(-mask))) * trunk, module.after)
    torch.testing.assert_close(module(x), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("bias", "factor"), [(-60.0, 1), (60.0, 2)])
def test_a_closed_and_an_open_mask(bias: float, factor: int) -> None:
    """A closed mask leaves the trunk as it is: attention does not dim what the layers before it found."""
    module, x = random_residual(around=0), torch.randn(2, 4, 9, 6, dtype=torch.float64)
    nn.init.constant_(module.logits[-1].bias, bias)
    nn.init.zeros_(module.logits[-1].weight)
    torch.testing.assert_close(module(x), factor * module.trunk(x))


def test_as_many_units_as_the_paper_counts() -> None:
    """p = 1 before and after, t = 2 in the trunk, and r = 1 twice a level."""
    module = ResidualAttention(16, levels=3)
    counts = [len(b) for b in (module.before, module.trunk, module.after, *module.down, *module.up)]
    assert counts == [1, 2, 1, 1, 1, 1, 1, 1, 1]


def test_more_levels_than_the_map_has_halves() -> None:
    module = ResidualAttention(4, levels=5).train()
    assert module(torch.randn(1, 4, 3, 2)).isfinite().all()
