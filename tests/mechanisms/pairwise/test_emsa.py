from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from foveate.mechanisms.base import Mechanism, build


def naive(module: Mechanism, x: Tensor) -> Tensor:
    """The formula with every weight formed, by torch's own layers, for one image."""
    channels, heads, (height, width) = module.channels, module.heads, x.shape[2:]
    d, n = channels // heads, module.norm(x[0].flatten(1).T)  # (N, C)
    q, small = module.query(n), n
    if module.reduction > 1:
        padded = nn.functional.pad(n.T.reshape(1, channels, height, width), module.shrink.pad)
        small = module.shrink.norm(module.shrink.conv(padded)[0].flatten(1).T)
    k, v = module.memory(small).split(channels, dim=1)
    energies = torch.stack([q[:, h * d :][:, :d] @ k[:, h * d :][:, :d].T / d**0.5 for h in range(heads)])
    if module.mixes:
        mixed = [sum(module.mix.weight[a, b, 0, 0] * energies[b] for b in range(heads)) for a in range(heads)]
        weights = nn.InstanceNorm2d(heads)(torch.stack(mixed).softmax(dim=2)[None])[0]
    else:
        weights = energies.softmax(dim=2)
    read = torch.cat([weights[h] @ v[:, h * d :][:, :d] for h in range(heads)], dim=1)
    return x + module.merge(read).T.reshape(x.shape)


@pytest.mark.parametrize("options", [{}, {"mix": False}, {"reduction": 1}, {"reduction": 3}, {"heads": 1}])
@pytest.mark.parametrize("size", [(4, 6), (7, 5), (2, 3)], ids=str)
def test_equals_the_formula(options: dict, size: tuple, double: object, explicit: object) -> None:
    module = double("emsa", 8, **options)
    x = torch.randn(1, 8, *size, dtype=torch.float64)
    torch.testing.assert_close(module(x), naive(module, x), rtol=0, atol=1e-10)
    torch.testing.assert_close(explicit(module, x), naive(module, x), rtol=0, atol=1e-10)


def test_blocks_of_rows_are_one_matrix(double: object, explicit: object) -> None:
    """300 rows are three blocks; variance and gradients run over all."""
    module = double("emsa", 4, heads=2)
    x = torch.randn(2, 4, 20, 15, dtype=torch.float64, requires_grad=True)
    outputs = module(x), explicit(module, x)
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-10)
    wanted = [x, *module.parameters()]
    for a, b in zip(*(torch.autograd.grad(y.square().sum(), wanted) for y in outputs), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("reduction", [2, 3, 4, 8])
@pytest.mark.parametrize("size", [(1, 1), (3, 7), (8, 9)], ids=str)
def test_the_smaller_map_is_never_empty(reduction: int, size: tuple) -> None:
    """Known fault elsewhere: an odd reduction of a map of height 1 leaves nothing to read."""
    module = build("emsa", 8, reduction=reduction)
    small = module.shrink(torch.randn(1, 8, *size))
    assert small.shape[2:] == tuple(-(-side // reduction) for side in size)


def test_an_even_reduction_is_the_authors_convolution(double: object) -> None:
    module, x = double("emsa", 8, reduction=4), torch.randn(1, 8, 9, 6, dtype=torch.float64)
    theirs = nn.Conv2d(8, 8, 5, stride=4, padding=2, groups=8).double()
    theirs.load_state_dict(module.shrink.conv.state_dict())
    padded = nn.functional.pad(x, module.shrink.pad)
    torch.testing.assert_close(module.shrink.conv(padded), theirs(x))


def test_weights_of_mixed_heads_have_mean_zero_and_variance_one(double: object, explicit: object) -> None:
    module, seen = double("emsa", 8, heads=4), []
    module.map.register_forward_hook(lambda _m, _i, formed: seen.append(formed))
    explicit(module, 3 * torch.randn(2, 8, 6, 6, dtype=torch.float64))
    torch.testing.assert_close(seen[0].mean(dim=(2, 3)), torch.zeros(2, 4, dtype=torch.float64))
    spread = seen[0].var(dim=(2, 3), correction=0)
    assert (0.9 < spread).all() and (spread < 1).all()  # short of one by what is added to the variance
