from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from foveate.errors import OptionError
from foveate.mechanisms.pairwise.augmented import AugmentedConvolution


@torch.no_grad()
def in_loops(module: AugmentedConvolution, x: Tensor) -> Tensor:
    """Convolution beside attention, one query and one key at a time."""
    height, width = x.shape[2:]
    q, k, v = module.project(x)[0].split((module.keys, module.keys, module.values))
    heads, places = module.heads, [(i, j) for i in range(height) for j in range(width)]
    read = torch.zeros(heads, module.values // heads, height, width, dtype=x.dtype)
    q, k, v = (part.unflatten(0, (heads, -1)) for part in (q, k, v))
    middle = len(module.rows) // 2 if module.relative else 0
    for head in range(heads):
        for i, j in places:
            asked, energies = q[head, :, i, j] / math.sqrt(module.width), []
            for u, w in places:
                key = k[head, :, u, w]
                if module.relative:
                    key = key + module.rows[middle + u - i] + module.columns[middle + w - j]
                energies.append(asked @ key)
            weights = torch.stack(energies).softmax(0)
            read[head, :, i, j] = sum(r * v[head, :, u, w] for r, (u, w) in zip(weights, places, strict=True))
    made = F.conv2d(read.flatten(0, 1)[None], module.merge.weight, module.merge.bias)
    if module.convolve is None:
        return made
    padding = module.kernel // 2
    return torch.cat(
        [F.conv2d(x, module.convolve.weight, module.convolve.bias, padding=padding), made], dim=1
    )


@pytest.mark.parametrize(
    "options",
    [{}, {"relative": False}, {"heads": 1, "kernel": 5}, {"value_share": 1.0}, {"bias": False}],
    ids=str,
)
def test_equals_the_formula_in_loops(options: dict[str, object], double: object, explicit: object) -> None:
    module = double("augmented", 6, **{"size": 3, "least_keys": 2, "value_share": 0.5, **options})
    x = torch.randn(1, 6, 3, 3, dtype=torch.float64)
    expected = in_loops(module, x)
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(explicit(module, x), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("channels", "heads", "key", "values"),
    [(64, 8, 20, 8), (256, 8, 20, 24), (512, 8, 20, 48), (1024, 8, 26, 104), (2048, 8, 51, 208)],
)
def test_widths_by_the_papers_shares(channels: int, heads: int, key: int, values: int) -> None:
    """Keys 0.2 C, but 20 a head at least; values 0.1 C, in whole heads."""
    module = AugmentedConvolution(channels, device="meta")
    assert (module.heads, module.width, module.values) == (heads, key, values)
    assert abs(module.values - 0.1 * channels) <= heads / 2


@pytest.mark.parametrize(
    ("channels", "heads", "values"), [(1, 1, 1), (3, 1, 1), (8, 4, 4), (16, 8, 8), (100, 8, 8)]
)
def test_narrow_maps_have_fewer_heads(channels: int, heads: int, values: int) -> None:
    module = AugmentedConvolution(channels)
    assert (module.heads, module.values) == (heads, values)


def test_only_the_last_channels_know_the_whole_map(double: object) -> None:
    module, x = double("augmented", 16), torch.randn(1, 16, 7, 7, dtype=torch.float64)
    changed = x.clone()
    changed[..., 0, 0] += 1
    reached = (module(changed) - module(x)).abs() > 1e-9
    assert (
        not reached[:, : 16 - module.values, 2:].any() and not reached[:, : 16 - module.values, :, 2:].any()
    )
    assert reached[:, 16 - module.values :].all()


def test_without_distances_attention_does_not_know_where_things_are(double: object) -> None:
    order, x = torch.randperm(24), torch.randn(2, 16, 6, 4, dtype=torch.float64)

    def shuffle(y: Tensor) -> Tensor:
        return y.flatten(2)[:, :, order].unflatten(2, (6, 4))

    blind, placed = (double("augmented", 16, value_share=1.0, relative=r) for r in (False, True))
    torch.testing.assert_close(blind(shuffle(x)), shuffle(blind(x)))
    assert not torch.allclose(placed(shuffle(x)), shuffle(placed(x)), atol=1e-2)


@pytest.mark.slow
def test_holds_a_row_and_a_column_for_each_position_and_head(largest: type) -> None:
    module, x = AugmentedConvolution(16, least_keys=2), torch.randn(1, 16, 48, 48).requires_grad_()
    with largest() as seen:
        module(x).sum().backward()
    assert seen.elements <= max(2**20, module.heads * 48 * 48**2) < module.heads * 48**4 / 20


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("heads", 17),
        ("kernel", 2),
        ("key_share", 0.0),
        ("value_share", 1.5),
        ("value_share", 0.0),
        ("size", 0),
    ],
)
def test_refuses_by_name(option: str, value: float) -> None:
    with pytest.raises(OptionError, match=f"{option}: got {value}"):
        AugmentedConvolution(16, **{option: value})
