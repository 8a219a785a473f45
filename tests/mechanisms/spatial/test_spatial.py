from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d
from timm.layers.cbam import SpatialAttn

from foveate.errors import OptionError
from foveate.mechanisms.spatial.spatial import SpatialAttention


def opened(**options: object) -> SpatialAttention:
    """A module whose normalisation is off its start of 0."""
    torch.manual_seed(0)
    module = SpatialAttention(6, **options).double().eval()
    if "norm" not in options:
        module.norm.weight.data.fill_(1.7)
        module.norm.bias.data.fill_(-0.2)
        module.norm.running_mean.fill_(0.3)
        module.norm.running_var.fill_(0.8)
    return module


def naive(x: np.ndarray, module: SpatialAttention) -> np.ndarray:
    state, y = {key: value.numpy() for key, value in module.state_dict().items()}, np.empty_like(x)
    for b, image in enumerate(x):
        planes = (image.max(axis=0), image.mean(axis=0))  # the authors' order
        kernels = state["conv.weight"][0]
        logits = sum(
            correlate2d(plane, kernel, "same") for plane, kernel in zip(planes, kernels, strict=True)
        )
        if "norm.weight" in state:
            deviation = np.sqrt(state["norm.running_var"] + 1e-5)
            logits = (logits - state["norm.running_mean"]) / deviation * state["norm.weight"] + state[
                "norm.bias"
            ]
        else:
            logits = logits + state["conv.bias"]
        y[b] = image / (1 + np.exp(-logits))
    return y


@pytest.mark.parametrize("options", [{}, {"kernel_size": 3}, {"norm": False}], ids=str)
def test_equals_the_formula_written_out(options: dict[str, object]) -> None:
    module, x = opened(**options), torch.randn(2, 6, 9, 11, dtype=torch.float64)
    np.testing.assert_allclose(module(x).detach(), naive(x.numpy(), module), rtol=1e-10, atol=1e-12)


@pytest.mark.parity("spatial")
@pytest.mark.parametrize("training", [False, True])
def test_equals_timm_with_the_planes_swapped(training: bool) -> None:
    """Timm puts the mean first, the authors the maximum."""
    module, x = opened().train(training), torch.randn(2, 6, 9, 11, dtype=torch.float64)
    other = SpatialAttn().double().train(training)
    other.conv.conv.weight.data = module.conv.weight.data.flip(1)
    other.conv.bn.load_state_dict(module.norm.state_dict())
    torch.testing.assert_close(module(x), other(x))


@pytest.mark.parametrize("training", [False, True])
def test_starts_at_a_half_as_the_authors_do(training: bool) -> None:
    module, x = SpatialAttention(6).train(training), torch.randn(2, 6, 5, 5)
    assert torch.equal(module(x), x / 2)


def test_the_statistics_move_as_slowly_as_the_authors() -> None:
    module, x = SpatialAttention(6).train(), torch.randn(2, 6, 5, 5)
    with torch.no_grad():
        logits = module.conv(torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1))
    module(x)
    torch.testing.assert_close(module.norm.running_mean, 0.01 * logits.mean().reshape(1))


def test_a_shifted_map_gives_the_shifted_output() -> None:
    module, x = opened(), torch.zeros(1, 6, 24, 24, dtype=torch.float64)
    x[:, :, 9:12, 9:12] = torch.randn(6, 3, 3, dtype=torch.float64)
    shifted = x.roll((3, 2), dims=(2, 3))
    torch.testing.assert_close(module(shifted), module(x).roll((3, 2), dims=(2, 3)))


def test_shuffled_channels_give_the_shuffled_output() -> None:
    module, x, order = opened(), torch.randn(2, 6, 7, 5, dtype=torch.float64), torch.randperm(6)
    torch.testing.assert_close(module(x[:, order]), module(x)[:, order])


def test_one_value_falls_back_on_the_running_statistics() -> None:
    """Known fault elsewhere: a batch of one image with a 1 x 1 map raises in training."""
    module, x = opened().train(), torch.randn(1, 6, 1, 1, dtype=torch.float64)
    trained = module(x)
    torch.testing.assert_close(trained, module.eval()(x))


def test_parameters_and_an_even_kernel() -> None:
    assert SpatialAttention(256).cost(7, 7).parameters == 100
    with pytest.raises(OptionError, match="kernel_size: got 6, expected an odd number, such as 7"):
        SpatialAttention(256, kernel_size=6)
