from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from foveate.mechanisms.channel.gsop import GlobalSecondOrderPooling, covariance


def random_gsop(channels: int = 6, width: int = 3) -> GlobalSecondOrderPooling:
    torch.manual_seed(0)
    module = GlobalSecondOrderPooling(channels, width=width).double().eval()
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5 if "var" in name else torch.randn_like(tensor))
    return module


def normalised(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    return batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)


def test_equals_the_formula_written_out() -> None:
    module, x = random_gsop(), torch.randn(2, 6, 4, 3, dtype=torch.float64)
    reduced = torch.einsum("kc,bchw->bkhw", module.squeeze.weight[:, :, 0, 0], x)
    reduced = normalised(reduced + module.squeeze.bias[:, None, None], module.norm).relu()
    expected = []
    for image, original in zip(reduced.flatten(2), x, strict=True):
        matrix = torch.from_numpy(np.cov(image.detach().numpy(), bias=True))
        matrix = normalised(matrix[None, :, :, None], module.row_norm)[0, :, :, 0]
        sums = [module.row_sums.weight[4 * k + s, 0, :, 0] @ matrix[k] for k in range(3) for s in range(4)]
        logits = module.excite.weight[:, :, 0, 0] @ (torch.stack(sums) + module.row_sums.bias)
        expected.append(original / (1 + torch.exp(-(logits + module.excite.bias)))[:, None, None])
    torch.testing.assert_close(module(x), torch.stack(expected), rtol=1e-10, atol=1e-12)


def test_the_covariance_is_that_of_numpy() -> None:
    x = torch.randn(2, 5, 4, 3, dtype=torch.float64)
    for got, image in zip(covariance(x), x, strict=True):
        np.testing.assert_allclose(got, np.cov(image.flatten(1), bias=True), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(covariance(x + 7), covariance(x))


def test_shuffled_positions_give_the_shuffled_output() -> None:
    module, x, order = random_gsop(), torch.randn(2, 6, 35, 1, dtype=torch.float64), torch.randperm(35)
    torch.testing.assert_close(module(x[:, :, order]), module(x)[:, :, order])


@pytest.mark.parametrize("channels", [1, 64, 256])
def test_parameters(channels: int) -> None:
    c = min(128, channels)
    layers = (channels * c + c) + 2 * c + 2 * c + (4 * c * c + 4 * c) + (4 * c * channels + channels)
    assert sum(p.numel() for p in GlobalSecondOrderPooling(channels).parameters()) == layers


@pytest.mark.parity("gsop")
@pytest.mark.parametrize("stride", [1, 2])
def test_equals_the_authors_code_with_its_names(stride: int) -> None:
    """A block of GSoP-Net rectifies first, and in the first stage reads every second row and column."""
    own = random_gsop()
    names = {"squeeze": "conv_for_DR", "norm": "bn_for_DR", "row_norm": "row_bn"}
    names |= {"row_sums": "row_conv_group", "excite": "fc_adapt_channels"}
    state = {f"{names[n.split('.')[0]]}.{n.split('.')[1]}": v for n, v in own.state_dict().items()}
    module = GlobalSecondOrderPooling(6, width=3, rectify=True, stride=stride).double().eval()
    module.load_state_dict(module.from_published(state))
    x = torch.randn(2, 6, 7, 5, dtype=torch.float64)
    gates = own(x.relu()[:, :, ::stride, ::stride]) / x.relu()[:, :, ::stride, ::stride]
    gates = gates.nan_to_num().amax(dim=(2, 3), keepdim=True)
    torch.testing.assert_close(module(x), x * gates)
    assert not torch.allclose(module(x), own(x))
