from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from foveate.mechanisms.channel.context_encoding import ContextEncoding


def random_encoding(channels: int = 4, codewords: int = 3) -> ContextEncoding:
    torch.manual_seed(0)
    module = ContextEncoding(channels, codewords=codewords).double().eval()
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5 if "var" in name else torch.randn_like(tensor))
    return module


def normalised(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    return batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)


def residuals(z: Tensor, centres: Tensor, smoothing: Tensor) -> Tensor:
    """The sums (K, D) for one image's positions (N, D), difference by difference."""
    sums = torch.zeros_like(centres)
    for position in z:
        differences = [position - centre for centre in centres]
        powers = [torch.exp(s * (d @ d)) for s, d in zip(smoothing, differences, strict=True)]
        sums = sums + torch.stack(
            [p / sum(powers) * d for p, d in zip(powers, differences, strict=True)]
        )  # fmt: skip
    return sums


@pytest.mark.parity("context_encoding")
def test_equals_the_formula_written_out() -> None:
    module, x = random_encoding(), torch.randn(2, 4, 5, 3, dtype=torch.float64)
    z = torch.einsum("dc,bchw->bdhw", module.project.weight[:, :, 0, 0], x)
    z = normalised(z, module.norm).relu().flatten(2).transpose(1, 2)
    codes = torch.stack([residuals(each, module.centres, module.smoothing) for each in z])
    code = normalised(codes[..., None], module.code_norm)[..., 0].relu().sum(dim=1) / 3
    gates = 1 / (1 + torch.exp(-(code @ module.excite.weight.T + module.excite.bias)))[:, :, None, None]
    torch.testing.assert_close(module(x), (x + x * gates).relu(), rtol=1e-10, atol=1e-10)


def test_one_codeword_sums_all_differences() -> None:
    module, z = random_encoding(codewords=1), torch.randn(2, 15, 4, dtype=torch.float64)
    torch.testing.assert_close(module._residuals(z), (z - module.centres).sum(dim=1, keepdim=True))


def test_shuffled_positions_give_the_shuffled_output() -> None:
    module, x, order = random_encoding(), torch.randn(2, 4, 35, 1, dtype=torch.float64), torch.randperm(35)
    torch.testing.assert_close(module(x[:, :, order]), module(x)[:, :, order])


def test_the_start_of_the_codewords() -> None:
    module, bound = ContextEncoding(512), (32 * 512) ** -0.5
    assert 0.9 * bound < module.centres.abs().max() <= bound
    assert -1 <= module.smoothing.min() < module.smoothing.max() <= 0


def test_published_size_with_the_layer_for_150_classes() -> None:
    module, presence = ContextEncoding(512), nn.Linear(512, 150)
    assert sum(p.numel() for p in (*module.parameters(), *presence.parameters())) == 619_254
    assert presence(module.encode(torch.randn(2, 512, 3, 2))).shape == (2, 150)
