from __future__ import annotations

import pytest
import torch
from timm.models.volo import OutlookAttention
from torch import Tensor

from foveate.errors import OptionError
from foveate.mechanisms.base import Mechanism, build


def theirs(module: Mechanism, **options: object) -> OutlookAttention:
    other = OutlookAttention(module.channels, module.heads, **options).double()
    for name, own in (("v", "value"), ("attn", "predict"), ("proj", "merge")):
        getattr(other, name).load_state_dict(module.get_submodule(own).state_dict())
    return other


@pytest.mark.parametrize(
    ("ours", "others"),
    [
        ({}, {}),
        ({"stride": 2}, {"stride": 2}),
        ({"kernel_size": 5, "heads": 4}, {"kernel_size": 5, "padding": 2}),
        ({"bias": True, "heads": 1}, {"qkv_bias": True}),
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [(6, 4), (5, 7), (1, 1)], ids=str)
def test_equals_timms_with_its_weights(ours: dict, others: dict, size: tuple, double: object) -> None:
    module = double("outlook", 8, **ours)
    x = torch.randn(2, 8, *size, dtype=torch.float64)
    normed = module.norm(x.permute(0, 2, 3, 1))
    expected = x + theirs(module, **others)(normed).permute(0, 3, 1, 2)
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-10)


def test_equals_the_formula_in_loops(double: object) -> None:
    module = double("outlook", 2, heads=1, norm=False, residual=False)
    x = torch.randn(1, 2, 3, 4, dtype=torch.float64)
    value = {(i, j): module.value(x[0, :, i, j]) for i in range(3) for j in range(4)}
    folded = {place: torch.zeros(2, dtype=torch.float64) for place in value}
    around = [(di, dj) for di in (-1, 0, 1) for dj in (-1, 0, 1)]
    for i, j in value:
        weights = (module.predict(x[0, :, i, j]).reshape(9, 9) / 2**0.5).softmax(dim=1)
        for row, (di, dj) in enumerate(around):
            if (i + di, j + dj) in folded:
                for column, (ei, ej) in enumerate(around):
                    read = value.get((i + ei, j + ej), torch.zeros(2))  # beyond the border there are zeros
                    folded[i + di, j + dj] = folded[i + di, j + dj] + weights[row, column] * read
    expected = torch.stack([module.merge(folded[i, j]) for i in range(3) for j in range(4)], dim=1)
    torch.testing.assert_close(module(x), expected.reshape(1, 2, 3, 4), rtol=0, atol=1e-10)


def test_reaches_two_positions_with_windows_of_three(double: object) -> None:
    module, x = double("outlook", 4), torch.randn(1, 4, 9, 9, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(module(x)[0, :, 4, 4].sum(), x)
    reached: Tensor = slope[0].abs().sum(dim=0) > 0
    assert reached[2:7, 2:7].all() and reached.sum() == 25


def test_memory_grows_with_the_positions(largest: type) -> None:
    seen = []
    for side in (16, 32):
        with largest() as watch:
            build("outlook", 16)(torch.randn(1, 16, side, side).requires_grad_()).sum().backward()
        seen.append(watch.elements)
    assert seen[1] == 4 * seen[0]  # the weights: 81 numbers a head and position


def test_parameters_of_volos_first_stage() -> None:
    own = sum(p.numel() for p in OutlookAttention(192, 6).parameters())
    assert build("outlook", 192, heads=6, norm=False).cost(28, 28).parameters == own == 167_718


def test_refuses_even_windows() -> None:
    with pytest.raises(OptionError, match="kernel_size"):
        build("outlook", 16, kernel_size=4)
