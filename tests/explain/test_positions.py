from __future__ import annotations

import pytest
import torch

from foveate.errors import ShapeError
from foveate.explain.geometry.pooled_keys import blocks
from foveate.explain.geometry.runs import runs
from foveate.explain.positions import positions
from foveate.explain.record import record, taps
from foveate.mechanisms.base import build, mechanisms
from tests.contracts.contract import each

H, W = 3, 4
N = H * W


def weights(*shape: int) -> torch.Tensor:
    return torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))


def test_channels_and_heads_are_averaged() -> None:
    one = weights(5, H, W)
    torch.testing.assert_close(positions(one, "b c h w", H, W), one.mean(1))
    two = weights(5, 2, H, W)
    torch.testing.assert_close(positions(two, "b c k h w", H, W), two.mean((1, 2)))
    torch.testing.assert_close(positions(two, "b k q h w", H, W), two.mean((1, 2)))


def test_rows_or_columns_alone_are_spread() -> None:
    rows, columns = weights(5, H, 1), weights(5, 1, W)
    torch.testing.assert_close(positions(rows, "b c h 1", H, W), rows.mean(1).expand(2, H, W))
    torch.testing.assert_close(positions(columns, "b c 1 w", H, W), columns.mean(1).expand(2, H, W))


def test_flat_positions_are_laid_out_row_by_row() -> None:
    flat = weights(N)
    assert positions(flat, "b n", H, W)[1, 2, 1] == flat[1, 2 * W + 1]


def test_a_class_can_be_chosen() -> None:
    maps = weights(2, 5, H, W)
    chosen = positions(maps, "b k q h w", H, W, classes=torch.tensor([4, 0]))
    torch.testing.assert_close(chosen, torch.stack([maps[0, :, 4].mean(0), maps[1, :, 0].mean(0)]))


def test_pairwise_weights_say_how_much_each_position_is_looked_at() -> None:
    heads = weights(3, N, N).softmax(-1)
    look = positions(heads, "b k n m", H, W)
    for j in range(N):
        torch.testing.assert_close(look[0, j // W, j % W], heads[0, :, :, j].mean())
    torch.testing.assert_close(look.sum((1, 2)), torch.ones(2))
    torch.testing.assert_close(positions(heads[:, 0], "b n m", H, W).flatten(1), heads[:, 0].mean(1))


@pytest.mark.parametrize("size", [(4, 6), (5, 3), (1, 7)])
def test_subsampled_keys_cover_the_positions_that_they_stand_for(size: tuple[int, int]) -> None:
    height, width = size
    rows, columns = -(-height // 2), -(-width // 2)
    one = torch.zeros(1, height * width, rows * columns)
    one[:, :, -1] = 1.0  # everybody looks at the last key
    look = positions(one, "b n m", height, width)
    assert look.shape == (1, height, width)
    torch.testing.assert_close(look.sum(), torch.tensor(1.0))
    assert look[0, -1, -1] > 0 and look[0, 0, 0] == (look[0, -1, -1] if rows * columns == 1 else 0)


@pytest.mark.parametrize("size", [(3, 4), (2, 2), (1, 5), (1, 1)])
def test_criss_cross_weights_are_gathered_at_what_was_looked_at(size: tuple[int, int]) -> None:
    height, width = size
    module, x = build("criss_cross", 8), torch.randn(2, 8, height, width)
    with record(module) as maps:
        module(x)
    expected = torch.zeros(2, height, width)
    for i in range(height):
        for j in range(width):
            for k in range(height):
                expected[:, k, j] += maps[""][:, i, j, k] / (height * width)
            for k in range(width):
                expected[:, i, k] += maps[""][:, i, j, height + k] / (height * width)
    torch.testing.assert_close(positions(maps[""], module.map.axes, height, width), expected)


@pytest.mark.parametrize(("shape", "axes"), [((5, 1, 1), "b c 1 1"), ((5, 5), "b c m"), ((5,), "b c")])
def test_weights_without_positions_give_none(shape: tuple[int, ...], axes: str) -> None:
    assert positions(weights(*shape), axes, H, W) is None


def test_a_coarser_map_is_stretched() -> None:
    coarse = weights(1, H, W)
    torch.testing.assert_close(
        positions(coarse, "b 1 h w", 2 * H, 2 * W),
        coarse[:, 0].repeat_interleave(2, 1).repeat_interleave(2, 2),
    )


def test_wrong_axes_are_explained() -> None:
    with pytest.raises(ShapeError, match=r'\(2, 5, 3, 4\).*"b h w"'):
        positions(weights(5, H, W), "b h w", H, W)


@pytest.mark.parametrize(
    "name", each([n for n, c in mechanisms.items() if c.interface in ("refine", "pool", "label")])
)
def test_weights_of_every_mechanism_become_a_map_or_have_no_places(name: str) -> None:
    needed = {"classes": 5} if mechanisms[name].interface == "label" else {}
    module = build(name, 16, **needed).eval()
    with record(module) as maps:
        module(torch.randn(2, 16, 7, 5))
    assert maps.keys() == taps(module).keys()
    for path, tap in taps(module).items():
        look = positions(maps[path], tap.axes, 7, 5)
        if look is None:
            assert not {"h", "w"} & set(tap.axes.split())
        else:
            assert look.shape == (2, 7, 5) and look.isfinite().all()


def test_a_token_in_front_of_the_positions_is_no_place() -> None:
    look = positions(torch.arange(36.0).expand(2, 4, 1, 36), "b k 1 m", 7, 5)
    expected = torch.arange(1.0, 36.0)
    torch.testing.assert_close(look[0].flatten(), expected / expected.sum())


def test_keys_that_are_stripes_do_not_lie_in_squares() -> None:
    """NextViT's keys are means of 4 tokens in the order of rows, not of 2x2: 49 keys of 14x14 are no 7x7."""
    one = torch.zeros(1, 196, 49)
    one[:, :, 3] = 1.0  # everybody looks at tokens 12 to 15
    look = positions(one, "b n m", 14, 14, keys=runs(14, 14, 4))
    assert look.nonzero().tolist() == [[0, 0, 12], [0, 0, 13], [0, 1, 0], [0, 1, 1]]
    squares = positions(one, "b n m", 14, 14, keys=blocks(14, 14, (2, 2)))
    assert squares.nonzero().tolist() == [[0, 0, 6], [0, 0, 7], [0, 1, 6], [0, 1, 7]]
    with pytest.raises(ShapeError, match="49 keys"):
        positions(one, "b n m", 14, 14, keys=runs(14, 14, 2))


def test_weights_whose_signs_cancel_out_stay_finite():
    weights = torch.tensor([1.0, -1.0, 1.0, -1.0]).reshape(1, 1, 4, 1)  # of four queries, for one key
    assert torch.equal(positions(weights, "b k n m", 2, 2), torch.zeros(1, 2, 2))
