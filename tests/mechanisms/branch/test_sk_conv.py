from __future__ import annotations

import pytest
import torch
from timm.layers.selective_kernel import SelectiveKernel as TimmSelectiveKernel
from torch.nn.functional import conv2d

from foveate.mechanisms.branch.sk_conv import SelectiveKernelConv, SelectiveKernelConvolution


def test_parameters_as_published() -> None:
    counts = {128: 22_080, 256: 62_528, 512: 198_720, 1024: 790_656}
    assert {c: SelectiveKernelConvolution(c).cost(7, 7).parameters for c in counts} == counts


@pytest.mark.parity("sk_conv")
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("training", [False, True])
def test_equals_timm(stride: int, training: bool) -> None:
    torch.manual_seed(0)
    module = SelectiveKernelConv(64, 128, stride=stride)
    other = TimmSelectiveKernel(64, 128, stride=stride, groups=32, split_input=False, rd_channels=32)
    ours = list(module.state_dict().values())
    assert [t.shape for t in ours] == [t.shape for t in other.state_dict().values()]
    other.load_state_dict(dict(zip(other.state_dict(), ours, strict=True)))
    x = torch.randn(2, 64, 9, 7)
    torch.testing.assert_close(module.train(training)(x), other.train(training)(x), rtol=1e-5, atol=1e-6)


def test_one_branch_is_a_plain_grouped_convolution() -> None:
    module, x = SelectiveKernelConvolution(64, branches=1).eval(), torch.randn(2, 64, 6, 5)
    convolution, norm, _ = module.convolution.branches[0]
    expected = conv2d(x, convolution.weight, padding=1, groups=32)
    scale = (norm.running_var + norm.eps).rsqrt()[:, None, None]
    torch.testing.assert_close(module(x), (expected * scale).relu())


def test_branches_see_as_far_as_kernels_of_3_5_and_7() -> None:
    """Known fault elsewhere: real 5x5 kernels, with 25 weights where the paper has 9."""
    module = SelectiveKernelConv(4, 4, branches=3, groups=1).eval()
    for i, branch in enumerate(module.branches, 1):
        assert branch[0].weight.shape == (4, 4, 3, 3)
        x = torch.zeros(1, 4, 9, 9, requires_grad=True)
        branch[0](x)[0, :, 4, 4].sum().backward()
        rows = x.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten().tolist()
        assert rows == [4 - i, 4, 4 + i]


@pytest.mark.parametrize(("channels", "groups"), [(1, 1), (24, 8), (48, 16), (100, 4), (128, 32)])
def test_as_many_groups_as_divide_the_channels(channels: int, groups: int) -> None:
    module = SelectiveKernelConvolution(channels)
    assert all(branch[0].groups == groups for branch in module.convolution.branches)
