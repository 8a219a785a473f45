"""Maps in every layout are read and written back in place."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from foveate.errors import ShapeError
from foveate.insert.apply_layout import apply_to_map
from foveate.insert.layout import Layout
from foveate.insert.surgery import insert
from foveate.models import create_model


def ramp(x: Tensor) -> Tensor:
    """Weigh rows and columns differently, so that a swapped axis shows."""
    rows = torch.arange(1.0, x.shape[2] + 1)[:, None]
    columns = torch.arange(1.0, x.shape[3] + 1) * 100
    return x * (rows + columns)


@pytest.mark.parametrize("prefix", [0, 1, 5])
def test_tokens_are_rows_of_a_map_and_the_prefix_is_left_alone(prefix: int) -> None:
    torch.manual_seed(0)
    tokens = torch.rand(2, prefix + 6, 4)
    out = apply_to_map(Layout("tokens", 4, 2, 3, prefix), tokens, ramp)
    assert torch.equal(out[:, :prefix], tokens[:, :prefix])
    for row in range(2):
        for column in range(3):
            index = prefix + 3 * row + column
            assert torch.equal(out[:, index], tokens[:, index] * (row + 1 + 100 * (column + 1)))


def test_a_grid_has_its_channels_last() -> None:
    grid = torch.rand(2, 3, 5, 4)
    out = apply_to_map(Layout("grid", 4, 3, 5), grid, ramp)
    assert torch.equal(out[:, 2, 4], grid[:, 2, 4] * 503)
    assert out.shape == grid.shape


@pytest.mark.parametrize(
    ("positions", "grid"), [(6, (2, 3)), (24, (4, 6)), (54, (6, 9)), (12, (3, 4)), (7, (1, 7)), (1, (1, 1))]
)
def test_other_sizes_keep_the_aspect(positions: int, grid: tuple[int, int]) -> None:
    assert Layout("tokens", 4, 2, 3, 1).grid_of(positions) == grid


def test_too_few_tokens_are_named() -> None:
    with pytest.raises(ShapeError, match="got 1 tokens, expected more than the prefix of 1"):
        apply_to_map(Layout("tokens", 4, 2, 3, 1), torch.rand(1, 1, 4), ramp)


def test_a_joined_map_stays_in_its_memory_format() -> None:
    """In another format the next convolution takes another kernel, and the output is not equal to the bit."""
    torch.manual_seed(0)
    model = create_model("unet", classes=2, encoder=None, widths=(4, 8, 16)).eval()
    x = torch.rand(2, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    attended = insert(model, "attention_gate@skip", example=x)
    assert torch.equal(attended(x), model(x))
