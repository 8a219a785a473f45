from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d, pad

from foveate.mechanisms.mixed.bam import BottleneckAttentionModule

RESNET50 = 25_557_032


def random_bam(channels: int = 6, **options: object) -> BottleneckAttentionModule:
    torch.manual_seed(0)
    module = BottleneckAttentionModule(channels, reduction=2, **options).double().eval()
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5 if "var" in name else torch.randn_like(tensor))
    return module


def normalised(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    return batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)


def dilated(x: Tensor, conv: nn.Conv2d, dilation: int) -> Tensor:
    """A dilated 3x3 convolution as the sum of nine shifted 1x1 convolutions."""
    height, width = x.shape[2:]
    around, total = pad(x, (dilation,) * 4), conv.bias[:, None, None]
    for i in range(3):
        for j in range(3):
            part = around[:, :, i * dilation : i * dilation + height, j * dilation : j * dilation + width]
            total = total + conv2d(part, conv.weight[:, :, i : i + 1, j : j + 1])
    return total


@pytest.mark.parametrize("combine", ["add", "multiply"])
@pytest.mark.parametrize("dilation", [4, 1])
def test_equals_the_formula_written_out(combine: str, dilation: int) -> None:
    module, x = random_bam(combine=combine, dilation=dilation), torch.randn(2, 6, 7, 5, dtype=torch.float64)
    squeeze, norm, _, excite = module.channel
    means = torch.stack([torch.stack([channel.sum() / 35 for channel in image]) for image in x])
    hidden = normalised((means @ squeeze.weight[:, :, 0, 0].T + squeeze.bias)[:, :, None, None], norm).relu()
    channel = hidden[:, :, 0, 0] @ excite.weight[:, :, 0, 0].T + excite.bias
    layers = module.spatial
    spatial = normalised(conv2d(x, layers[0].weight, layers[0].bias), layers[1]).relu()
    for at in (3, 6):
        spatial = normalised(dilated(spatial, layers[at], dilation), layers[at + 1]).relu()
    spatial = conv2d(spatial, layers[9].weight, layers[9].bias)
    expected = torch.empty_like(x)
    for b, c, i, j in torch.cartesian_prod(*map(torch.arange, x.shape)).tolist():
        both = channel[b, c], spatial[b, 0, i, j]
        logit = both[0] + both[1] if combine == "add" else both[0] * both[1]
        expected[b, c, i, j] = (x[b, c, i, j] * (1 + 1 / (1 + torch.exp(-logit)))).detach()
    torch.testing.assert_close(module(x), expected, rtol=1e-10, atol=1e-12)


def test_published_total() -> None:
    """ResNet-50 with the authors' module behind stages 1 to 3."""
    added = sum(BottleneckAttentionModule(c).cost(7, 7).parameters for c in (256, 512, 1024))
    assert RESNET50 + added == 25_915_099


@pytest.mark.parametrize("size", [(8, 8), (14, 14), (3, 20)])
def test_runs_at_any_size(size: tuple[int, int]) -> None:
    """Known fault elsewhere: a padding unlike the dilation shrinks the map, and only 7 x 7 runs."""
    module, x = BottleneckAttentionModule(16), torch.randn(2, 16, *size)
    assert module(x).shape == x.shape


def test_trains_on_a_single_image() -> None:
    """Known fault elsewhere: batch statistics of one pooled vector raise."""
    module = BottleneckAttentionModule(16).train()
    assert module(torch.randn(1, 16, 6, 6)).isfinite().all()


def test_fewer_channels_than_the_reduction_still_gate() -> None:
    """Known fault elsewhere: a hidden layer of width 0 raises."""
    assert BottleneckAttentionModule(8).hidden == 1


def test_zero_logits_give_one_and_a_half() -> None:
    module, x = random_bam(), torch.randn(2, 6, 5, 5, dtype=torch.float64)
    for last in (module.channel[-1], module.spatial[-1]):
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    torch.testing.assert_close(module(x), 1.5 * x)
