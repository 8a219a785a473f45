from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from foveate.mechanisms.mixed.triplet import PlaneGate, TripletAttention


def random_triplet(kernel_size: int = 3) -> TripletAttention:
    torch.manual_seed(0)
    module = TripletAttention(4, kernel_size=kernel_size).double().eval()
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5 if "var" in name else torch.randn_like(tensor))
    return module


def plane(cube: Tensor, gate: PlaneGate) -> Tensor:
    """Gates (M, N) of a cube (D, M, N), pooled over its first axis."""
    size, norm = gate.conv.kernel_size[0], gate.norm
    summary = torch.stack([cube.max(dim=0).values, cube.sum(dim=0) / len(cube)])
    around = pad(summary, (size // 2,) * 4)
    gates = torch.empty(cube.shape[1:], dtype=torch.float64)
    for i, j in torch.cartesian_prod(*map(torch.arange, gates.shape)).tolist():
        value = (around[:, i : i + size, j : j + size] * gate.conv.weight[0]).sum() - norm.running_mean
        value = norm.weight * value / (norm.running_var + norm.eps).sqrt() + norm.bias
        gates[i, j] = (1 / (1 + torch.exp(-value))).item()
    return gates


@pytest.mark.parity("triplet")
@pytest.mark.parametrize("kernel_size", [3, 7])
def test_equals_the_formula_with_the_map_rotated(kernel_size: int) -> None:
    module, x = random_triplet(kernel_size), torch.randn(2, 4, 5, 6, dtype=torch.float64)
    with torch.no_grad():
        for image, got in zip(x, module(x), strict=True):  # (C, H, W)
            by_column = image.permute(2, 1, 0)  # (W, H, C)
            by_row = image.permute(1, 0, 2)  # (H, C, W)
            one = (by_column * plane(by_column, module.over_columns)).permute(2, 1, 0)
            two = (by_row * plane(by_row, module.over_rows)).permute(1, 0, 2)
            three = image * plane(image, module.over_channels)
            torch.testing.assert_close(got, (one + two + three) / 3, rtol=1e-10, atol=1e-12)


def test_three_hundred_parameters_whatever_the_channels() -> None:
    for channels in (8, 512):
        assert sum(p.numel() for p in TripletAttention(channels).parameters()) == 300


def test_gates_can_suppress() -> None:
    """Known fault elsewhere: a ReLU before the sigmoid, so that no gate is under a half."""
    module, x = random_triplet(), torch.randn(2, 4, 5, 6, dtype=torch.float64)
    for gate in (module.over_rows, module.over_columns, module.over_channels):
        torch.nn.init.constant_(gate.norm.bias, -20.0)
    assert (module(x).abs() < 0.01 * x.abs()).any()


def test_a_transposed_map_with_exchanged_branches_gives_the_transposed_output() -> None:
    module, twin = random_triplet(), random_triplet()
    twin.over_rows.load_state_dict(module.over_columns.state_dict())
    twin.over_columns.load_state_dict(module.over_rows.state_dict())
    for gate in (twin.over_rows, twin.over_columns, twin.over_channels):
        gate.conv.weight.data = gate.conv.weight.data.transpose(2, 3).contiguous()
    x = torch.randn(2, 4, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(twin(x.transpose(2, 3)), module(x).transpose(2, 3))


def test_training_and_eval_pool_alike() -> None:
    """The maxima come from another function in training."""
    module, x = random_triplet(), torch.randn(3, 4, 5, 6, dtype=torch.float64)
    before = module(x)
    module.train()
    for gate in (module.over_rows, module.over_columns, module.over_channels):
        gate.norm.eval()
    assert torch.equal(module(x), before)
