"""No mechanism over positions holds N*N numbers, in inference or training, unless somebody looks."""

from __future__ import annotations

import pytest
import torch

from foveate.mechanisms.base import build, mechanisms
from foveate.mechanisms.kernels.softmax_attention import BLOCK, ROWS, attend
from foveate.mechanisms.map_tap import MapTap

SIDE = 64
APART = {
    "augmented": "numbers for each row and column times eight heads: the test of growth below",
    "halo": "numbers for each place of a window: its own test of growth",
    "outlook": "numbers for each place of a window: its own test of growth",
    "point_wise": "the N*N weights come out of a convolution, each position has its own",
}
NAMES = [name for name, cls in mechanisms.items() if ".pairwise." in cls.__module__ and name not in APART]
BLOCKS = ["bottleneck", "dual", "emsa", "position"]  # form their weights block by block


# The kernels that form no weights; all mechanisms are slow tests, and nightly ones the other way.
QUICK = ("criss_cross", "dual", "non_local")
WAYS = [  # the fused kernel minds both
    (16, torch.contiguous_format),
    pytest.param(8, torch.channels_last, marks=pytest.mark.nightly),
]


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
)
@pytest.mark.parametrize(("channels", "layout"), WAYS, ids=str)
def test_memory_is_linear_in_the_positions(name: str, channels: int, layout: object, largest: type) -> None:
    module = build(name, channels)
    x = torch.randn(1, channels, SIDE, SIDE).contiguous(memory_format=layout).requires_grad_()
    with largest() as seen:
        module(x).sum().backward()
    longest_row = 2 * SIDE  # criss-cross keeps one row and one column for each position
    blocks = 256 * SIDE**2  # as many rows at a time
    most = blocks if name in BLOCKS else longest_row * SIDE**2
    assert seen.elements <= most < SIDE**4 / 10, f"{seen.elements} elements by {seen.operator}"


@pytest.mark.slow
def test_with_rows_and_columns_apart_it_grows_far_slower_than_all_pairs(largest: type) -> None:
    found = []
    for side in (24, 48):
        with largest() as seen:
            build("augmented", 16)(torch.randn(1, 16, side, side).requires_grad_()).sum().backward()
        found.append(seen.elements)
    assert found[1] <= 8 * found[0] and found[1] < 48**4 / 2  # of 8 heads; N*N would be 16 times as much


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_in_every_precision(name: str, largest: type) -> None:
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        module, x = build(name, 16).to(dtype), torch.randn(1, 16, SIDE, SIDE, dtype=dtype)
        with largest() as seen, torch.no_grad():
            module(x)
        assert seen.elements <= 256 * SIDE**2, f"{dtype}: {seen.elements} elements by {seen.operator}"


@pytest.mark.parametrize("name", ["non_local", "multi_head", "position"])
def test_the_watch_sees_the_matrix_when_it_is_formed(name: str, largest: type, explicit: object) -> None:
    module = build(name, 16, **({"subsample": False} if name == "non_local" else {}))
    with largest() as seen, torch.no_grad():
        explicit(module, torch.randn(1, 16, 32, 32))
    assert seen.elements >= 32**4


@pytest.mark.parametrize("heads", [(), pytest.param((1,), marks=pytest.mark.slow), (2,)], ids=str)
@pytest.mark.parametrize(
    "widths", [pytest.param((8, 8), marks=pytest.mark.slow), (3, 8), (1, 1), (1, 8)], ids=str
)
@pytest.mark.parametrize("strided", [pytest.param(False, marks=pytest.mark.slow), True])
def test_no_stride_and_no_width_brings_the_matrix_back(
    heads: tuple[int, ...], widths: tuple[int, int], strided: bool, largest: type
) -> None:
    """PyTorch's fused kernel takes the N*N way for tokens of another stride or unequal widths, silently."""
    n, (narrow, wide) = 1536, widths
    parts = [torch.randn(2, *heads, *((d, n) if strided else (n, d))) for d in (narrow, narrow, wide)]
    parts = [(p.transpose(-2, -1) if strided else p).requires_grad_() for p in parts]
    with largest() as seen:
        attend(*parts, MapTap("b n m")).sum().backward()
    assert seen.elements <= max(BLOCK, ROWS * n) < n**2, f"{seen.elements} elements by {seen.operator}"


def test_images_do_not_add_up_in_a_block(largest: type) -> None:
    module, x = build("position", 16), torch.randn(16, 16, 32, 32)
    with largest() as seen:
        module(x).sum().backward()
    assert seen.elements <= BLOCK, f"{seen.elements} elements by {seen.operator}"


def test_criss_cross_in_one_piece_holds_a_row_and_a_column_for_each_position(largest: type) -> None:
    module, x = build("criss_cross", 96), torch.randn(1, 96, SIDE, SIDE)
    with largest() as seen:
        module(x).sum().backward()
    assert seen.elements <= 2 * SIDE * SIDE**2, f"{seen.elements} elements by {seen.operator}"
