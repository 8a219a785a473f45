"""A map is read out of a tensor wherever its axes went, and nothing else is taken for one.

The oracle: images whose channels say where each of their pixels is. However they are laid out, what is read
as a map says at every row and column that it is this row and column.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from foveate.errors import SiteError
from foveate.insert.apply_layout import apply_to_map
from foveate.insert.inserted_parts import inserted
from foveate.insert.layout import Layout
from foveate.insert.surgery import insert
from foveate.insert.survey import observe, survey

ROWS, COLUMNS = 8, 12


def coordinates(images: int, rows: int = ROWS, columns: int = COLUMNS) -> Tensor:
    """Return images (B, 3, H, W) whose channels are the image, the row and the column."""
    counts = [torch.arange(float(n)) for n in (images, rows, columns)]
    return torch.stack(torch.meshgrid(*counts, indexing="ij"), dim=1)


class Laid(nn.Module):
    """Lays its images out in some way, and lets them flow through a module."""

    def __init__(self, lay: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.lay, self.here = lay, nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.here(self.lay(x))


def read(lay: Callable[[Tensor], Tensor], images: int) -> tuple[Layout | None, str, Tensor]:
    """Return the layout of what was laid out, why there is none, and the tensor."""
    model, x = Laid(lay), coordinates(images)
    flow = observe(model, x)
    call = flow.run.calls["here"]
    return flow.maps.output(call), flow.maps.why_no_map(call.output_node), model(x)


def windows(x: Tensor, size: int = 4) -> Tensor:
    """Return (B, windows, places, C)."""
    b, c, h, w = x.shape
    split = x.permute(0, 2, 3, 1).reshape(b, h // size, size, w // size, size, c)
    return split.permute(0, 1, 3, 2, 4, 5).reshape(b, -1, size * size, c)


def whole(x: Tensor, size: int = 4) -> Tensor:
    """Return the map (B, H, W, C) of which windows were made."""
    b, _, _, c = x.shape
    split = x.reshape(b, ROWS // size, COLUMNS // size, size, size, c)
    return split.permute(0, 1, 3, 2, 4, 5).reshape(b, ROWS, COLUMNS, c)


def unrolled(x: Tensor) -> Tensor:
    """Return tokens in the order of Hiera: the places in units of 2 x 2 first."""
    b, c, h, w = x.shape
    split = x.reshape(b, c, h // 2, 2, w // 2, 2)
    return split.permute(0, 3, 5, 2, 4, 1).reshape(b, h * w, c)


def with_others(x: Tensor) -> Tensor:
    tokens = x.flatten(2).transpose(1, 2)
    return torch.cat((torch.zeros(len(x), 2, 3), tokens, torch.zeros(len(x), 3, 3)), dim=1)


def padded_and_cut(x: Tensor) -> Tensor:
    grid = nn.functional.pad(x.permute(0, 2, 3, 1), (0, 0, 0, 4, 0, 4))
    return grid[:, :ROWS, :COLUMNS]


def attended(x: Tensor) -> Tensor:
    """Return windows that looked at nothing but themselves, folded back."""
    inside = windows(x).flatten(0, 1)  # windows beside the images
    heads = inside[:, :, None].transpose(1, 2)
    own = nn.functional.scaled_dot_product_attention(heads * 1e6, heads * 1e6, heads)
    return whole((own.squeeze(1) * 0 + inside).unflatten(0, (len(x), -1)))


MAPS: dict[str, Callable[[Tensor], Tensor]] = {
    "map": lambda x: x,
    "grid": lambda x: x.permute(0, 2, 3, 1),
    "tokens": lambda x: x.flatten(2).transpose(1, 2),
    "tokens among others": with_others,
    "flat": lambda x: x.flatten(2),
    "sequence": lambda x: x.flatten(2).permute(2, 0, 1),
    "windows in an axis of their own": windows,
    "window after window": lambda x: windows(x).flatten(1, 2),
    "units first": unrolled,
    "windows and back": lambda x: whole(windows(x)),
    "attention in windows and back": attended,
    "padded and cut": padded_and_cut,
    "through heads and back": lambda x: x.flatten(2).transpose(1, 2).unflatten(2, (3, 1)).flatten(2),
    "columns first": lambda x: x.permute(0, 3, 2, 1).flatten(1, 2),
    "added to an embedding": lambda x: x.flatten(2).transpose(1, 2) + torch.zeros(1, ROWS * COLUMNS, 3),
}


@pytest.mark.parametrize("name", MAPS)
def test_a_map_says_at_each_place_where_it_is(name: str) -> None:
    for images in (1, 2, 3):
        layout, why, x = read(MAPS[name], images)
        assert layout is not None, why
        assert (layout.channels, layout.size) == (3, (ROWS, COLUMNS))
        assert torch.equal(layout.as_map(x), coordinates(images))
        weighed = apply_to_map(layout, x, lambda m: m + 1)
        assert torch.equal(layout.as_map(weighed), coordinates(images) + 1)
        assert weighed.shape == x.shape and weighed.is_contiguous() >= x.is_contiguous()
        assert torch.equal(apply_to_map(layout, x, lambda m: m), x)


def test_what_stands_beside_the_positions_is_left_alone() -> None:
    layout, _, x = read(with_others, 2)
    assert layout is not None and (layout.prefix, layout.suffix) == (2, 3)
    weighed = apply_to_map(layout, x, lambda m: m + 1)
    assert torch.equal(weighed[:, :2], x[:, :2]) and torch.equal(weighed[:, -3:], x[:, -3:])


def coarse(x: Tensor) -> Tensor:
    """Return patches of 2 x 2 as tokens whose channels are their pixels."""
    b, c, h, w = x.shape
    split = x.reshape(b, c, h // 2, 2, w // 2, 2)
    return split.permute(0, 2, 4, 1, 3, 5).reshape(b, h * w // 4, c * 4)


def test_patches_are_a_coarser_map() -> None:
    layout, why, x = read(coarse, 2)
    assert layout is not None, why
    assert (layout.channels, layout.size) == (12, (ROWS // 2, COLUMNS // 2))
    first = layout.as_map(x)[:, ::4]  # the pixel at the upper left of each patch
    assert torch.equal(first, coordinates(2)[:, :, ::2, ::2])


NONE: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "windows beside the images": (lambda x: windows(x).flatten(0, 1), "images share an axis"),
    "heads beside the images": (
        lambda x: x.flatten(2).transpose(1, 2).reshape(len(x) * ROWS * COLUMNS, 1, 3),
        "images share an axis",
    ),
    "one window": (lambda x: windows(x)[:, 0], "windows of a map and not the whole"),
    "picked in an order": (
        lambda x: x.flatten(2).transpose(1, 2)[:, torch.randperm(ROWS * COLUMNS)],
        "picked in an order that is not known",
    ),
    "the class token": (lambda x: with_others(x)[:, :1], "no rows and columns"),
    "heads": (lambda x: torch.cat((x, x), 1).flatten(2).mT.unflatten(2, (2, 3)), "several axes"),
    "weights": (lambda x: x.flatten(2).transpose(1, 2) @ x.flatten(2), "weighs positions by positions"),
    "means of rows": (lambda x: x.mean(3).transpose(1, 2), "one of the two is gone"),
    "a vector": (lambda x: x.mean((2, 3)), "no axes left"),
}


@pytest.mark.parametrize("name", NONE)
def test_what_is_no_map_is_not_taken_for_one_and_the_reason_is_told(name: str) -> None:
    lay, reason = NONE[name]
    for images in (1, 2, 3):
        layout, why, _ = read(lay, images)
        assert layout is None
        assert why and reason in why


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mix(x)


class Windowed(nn.Module):
    """Blocks of which some see windows that stand beside the images."""

    def __init__(self, maps: int, folded: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Residual() for _ in range(maps + folded))
        self.maps = maps
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        for block in self.blocks[: self.maps]:
            x = block(x)
        parts = windows(x.permute(0, 3, 1, 2)).flatten(0, 1)
        for block in self.blocks[self.maps :]:
            parts = block(parts)
        return self.head(parts.unflatten(0, (len(x), -1)).mean((1, 2)))


def test_blocks_that_cannot_be_used_are_named_with_the_reason() -> None:
    with pytest.raises(
        SiteError, match=r"no site of Windowed.*cannot be used: blocks\.0: images share an axis"
    ):
        insert(Windowed(0, 2), "se@blocks", example=coordinates(2))
    with pytest.raises(SiteError, match=r"What comes out of blocks\.1 is not a map: images share an axis"):
        insert(Windowed(0, 2), "se@blocks.1", example=coordinates(2))


def test_a_warning_names_the_blocks_of_a_class_that_are_left_out() -> None:
    model = Windowed(2, 1)
    assert list(survey(model, coordinates(1)).left_out) == ["blocks.2"]
    with pytest.warns(UserWarning, match=r'"blocks" of Windowed leaves out blocks\.2: images share an axis'):
        made = insert(model, "eca@blocks", example=coordinates(2))
    assert list(inserted(made)) == ["blocks.0", "blocks.1"]


def test_a_position_embedding_is_no_residual_for_one_image_alone() -> None:
    """For one image it has the shape of what it is added to; a block adds what came from the images."""

    class Embedding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.where = nn.Parameter(torch.rand(1, 3, ROWS, COLUMNS))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.where

    model = nn.Sequential(Embedding(), nn.Conv2d(3, 3, 1), Embedding(), nn.Conv2d(3, 3, 1))
    for images in (1, 2):
        assert "blocks" not in survey(model, coordinates(images)).aliases
