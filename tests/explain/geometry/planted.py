"""Plants one cell in the map that a layer gets, and says which keys and queries of its weights answer to it.

The layer runs twice: as it is, and with other values in one cell of its input. A key that covers the cell
gets other scores from every query; a query that covers it gives other scores to every key.
"""

from __future__ import annotations

import csv
import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

import foveate as fv
from foveate.explain.recording.attention_map import AttentionMap

TABLE = Path(__file__).with_name("planted.csv")


@dataclass(frozen=True)
class Case:
    """Where to plant in a model: a row of ``planted.csv``.

    Args:
        name: Of the case.
        model: See ``planted_models``.
        picture: Height and width of the picture, ``48x80``.
        when: When the case is tested: ``fast`` or ``nightly``.
        layer: Path of the attention.
        at: Path of the module whose input is the map; with a ``>`` behind it, whose output.
        axes: How the map lies: ``bhwc``, ``bchw`` or ``bnc``.
        size: Rows and columns of the map.
        stride: Pixels of the picture per cell.
        prefix: Tokens before the map.
        step: Every so many rows and columns of the map are queries, without those between.
        queries: Whether queries have places of their own.
    """

    name: str
    model: str
    picture: str
    when: str
    layer: str
    at: str
    axes: str
    size: tuple[int, int]
    stride: float
    prefix: int
    step: int
    queries: bool

    @property
    def cells(self) -> list[tuple[int, int]]:
        """The cells to plant, one after the other: two corners, the middle, and one beside the border."""
        rows, columns = self.size
        found = ((0, 0), (rows // 2, columns // 2 - 1), (rows - 1, columns - 1), (1, columns - 2))
        return [(row - row % self.step, column - column % self.step) for row, column in found]

    def pixel(self, cell: tuple[int, int]) -> tuple[int, int]:
        """Return a pixel of the picture that lies on a cell, near its first corner."""
        return int(cell[0] * self.stride) + 1, int(cell[1] * self.stride) + 1


def cases(when: str) -> list[Case]:
    """Return the cases of the table that are tested at a time."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        return [
            Case(
                name=row["case"],
                model=row["model"],
                picture=row["picture"],
                when=row["when"],
                layer=row["layer"],
                at=row["at"],
                axes=row["axes"],
                size=(int(row["rows"]), int(row["columns"])),
                stride=float(row["stride"]),
                prefix=int(row["prefix"]),
                step=int(row["step"]),
                queries=row["queries"] == "placed",
            )
            for row in csv.DictReader(file)
            if row["when"] == when
        ]


def prepared(model: nn.Module) -> nn.Module:
    """Fill what starts at zero with noise, and let a convolution see the cells of its stride only.

    One with stride s then reads, for place i, the rows and columns i*s to i*s + s - 1: the same cells that
    the geometry gives to what it makes. Without that, a planted cell would change its neighbours, too.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            for parameter in module.parameters(recurse=False):
                if parameter.ndim <= 1 or parameter.abs().max() < 1e-2:
                    parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
            if isinstance(module, nn.Conv2d) and max(module.kernel_size) > max(module.stride):
                seen = torch.zeros_like(module.weight)
                down, right = map(_own, module.kernel_size, module.stride, _padding(module))
                seen[:, :, down, right] = 1
                module.weight.mul_(seen)
    return model.eval()


def planted(
    case: Case, model: nn.Module, given: dict[str, Tensor], cell: tuple[int, int]
) -> tuple[AttentionMap, Tensor, Tensor]:
    """Return the layer's map, how much its keys (g, m) answer to a cell, and its queries (g, n)."""
    before, after = (_run(case, model, given, at) for at in (None, cell))
    weights, other = before.grouped().double(), after.grouped().double()
    if before.kind != "linear":
        hidden = (weights.abs() < 1e-20) | (other.abs() < 1e-20)
        weights, other = (w.abs().log().masked_fill(hidden, torch.nan) for w in (weights, other))
    change = (other - weights)[0]  # g k n m
    change = (change - change.nanmedian(dim=-1, keepdim=True).values).abs().nanmean(dim=1)  # g n m
    change = change.nan_to_num()
    others = change.sum(dim=2) - change.amax(dim=2)  # without the planted key, which answers to every query
    return before, change.mean(dim=1), others


def laid(found: AttentionMap, keys: Tensor, size: tuple[int, int]) -> Tensor:
    """Return what keys (g, m) answered, laid over a picture as ``to_image`` lays weights."""
    grouped = found.grouped()
    like = keys[None, :, None, None].expand(1, *grouped.shape[1:3], *grouped.shape[3:]).float()
    shown = dataclasses.replace(found, weights=like, axes="b g k n m")
    return shown.to_image(size, query="mean" if found.geometry.queries.cells is not None else None).values[0]


def _run(
    case: Case, model: nn.Module, given: dict[str, Tensor], cell: tuple[int, int] | None
) -> AttentionMap:
    path = case.at.rstrip(">")
    module = model.get_submodule(path)

    def changed(x: Tensor) -> Tensor:
        x = x.clone()
        if cell is not None:
            noise = 3 * torch.randn(_channels(x, case), generator=torch.Generator().manual_seed(1))
            row, column = cell
            if case.axes == "bhwc":
                x[:, row, column] += noise
            elif case.axes == "bchw":
                x[:, :, row, column] += noise
            else:
                x[:, case.prefix + row * case.size[1] + column] += noise
        return x

    if case.at.endswith(">"):
        hook = module.register_forward_hook(lambda _, __, out: changed(out))
    else:
        hook = module.register_forward_pre_hook(lambda _, args: (changed(args[0]), *args[1:]))
    with torch.no_grad(), fv.record(model, layers=case.layer) as maps:
        model(given["x"]) if "x" in given else model(**given)
    hook.remove()
    return maps.calls(case.layer)[0]


def _channels(x: Tensor, case: Case) -> int:
    return x.shape[1 if case.axes == "bchw" else -1]


def _own(kernel: int, stride: int, padding: int) -> slice:
    """Return the part of a kernel that lies on the cells of its stride; padding shifts it."""
    return slice(padding, min(padding + stride, kernel))


def _padding(module: nn.Conv2d) -> tuple[int, ...]:
    if isinstance(module.padding, str):
        return tuple(side // 2 if module.padding == "same" else 0 for side in module.kernel_size)
    return module.padding
