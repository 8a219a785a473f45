"""Plants one cell in the map that a layer gets, and says which keys and queries of its weights answer to it.

The layer runs twice: as it is, and with other values in one cell of its input. A key that covers the cell
gets other scores from every query; a query that covers it gives other scores to every key.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import foveate as fv
from foveate.explain.recording.attention_map import AttentionMap


@dataclass(frozen=True)
class Case:
    """Where to plant in a model.

    Args:
        make: Builds the model, and a picture for it.
        layer: Path of the attention.
        at: Path of the module whose input is the map; with a ``>`` behind it, whose output.
        axes: How the map lies: ``bhwc``, ``bchw`` or ``bnc``.
        size: Rows and columns of the map.
        stride: Pixels of the picture per cell.
        prefix: Tokens before the map.
        queries: Whether queries have places of their own.
        step: Every so many rows and columns of the map are queries or keys, without those between.
    """

    make: Callable[[], tuple[nn.Module, dict[str, Tensor]]]
    layer: str
    at: str
    axes: str
    size: tuple[int, int]
    stride: float
    prefix: int = 0
    queries: bool = True
    step: int = 1


def prepared(model: nn.Module) -> nn.Module:
    """Fill what starts at zero with noise, and let convolutions see the middle of their kernels only."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            for parameter in module.parameters(recurse=False):
                if parameter.ndim <= 1 or parameter.abs().max() < 1e-2:
                    parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
            if isinstance(module, nn.Conv2d) and max(module.kernel_size) > max(module.stride):
                rows, columns = (k // 2 for k in module.kernel_size)
                middle = module.weight[:, :, rows, columns].clone()
                module.weight.zero_()
                module.weight[:, :, rows, columns] = middle
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


def looks_at(found: AttentionMap, keys: Tensor, size: tuple[int, int]) -> Tensor:
    """Return how much the keys answered, laid over a picture."""
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
        model(**given) if "pixel_values" in given else model(given["x"])
    hook.remove()
    return maps.calls(case.layer)[0]


def _channels(x: Tensor, case: Case) -> int:
    return x.shape[1 if case.axes == "bchw" else -1]
