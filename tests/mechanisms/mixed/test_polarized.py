from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from foveate.errors import OptionError
from foveate.mechanisms.mixed.polarized import PolarizedSelfAttention

FORMS = list(itertools.product(("parallel", "sequential"), ("paper", "authors")))
EVERY = pytest.mark.parametrize(("order", "form"), FORMS)


def softmax(values: np.ndarray, axis: int) -> np.ndarray:
    powers = np.exp(values - values.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def normed(values: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / np.sqrt(values.var() + 1e-5) * weight + bias


def naive(x: np.ndarray, own: dict[str, np.ndarray], order: str, form: str) -> np.ndarray:
    """One image (C, N), with the projections formed in full as paper and code write them."""
    read = (own["channel_value.weight"] @ x) @ softmax(own["channel_query.weight"][0] @ x, axis=0)
    logits = own["excite.0.weight"] @ read + own.get("excite.0.bias", 0)
    if (order, form) != ("parallel", "authors"):
        logits = normed(logits, own["excite.1.weight"], own["excite.1.bias"])
    if (order, form) == ("sequential", "authors"):
        logits = own["excite.3.weight"] @ np.maximum(0, logits) + own["excite.3.bias"]
    first = x * sigmoid(logits)[:, None]
    z = x if order == "parallel" else first
    query, value = (own["position_query.weight"] @ z).mean(axis=1), own["position_value.weight"] @ z
    if form == "paper":
        logits = softmax(query, axis=0) @ value
    elif order == "parallel":
        logits = softmax(query @ value, axis=0)
    else:
        logits = query @ softmax(value, axis=1)
    return z * sigmoid(logits) + (first if order == "parallel" else 0)


@EVERY
def test_equals_the_formula_written_out(order: str, form: str) -> None:
    torch.manual_seed(0)
    module = PolarizedSelfAttention(24, order=order, form=form).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x, own = torch.randn(2, 24, 4, 3, dtype=torch.float64), dict(module.named_parameters())
    own = {name: value.detach().numpy() for name, value in own.items()}
    expected = [naive(image.reshape(24, 12), own, order, form).reshape(24, 4, 3) for image in x.numpy()]
    np.testing.assert_allclose(module(x).detach(), np.stack(expected), rtol=1e-10, atol=1e-12)


@EVERY
def test_shuffled_positions_give_the_shuffled_output(order: str, form: str) -> None:
    module = PolarizedSelfAttention(16, order=order, form=form).double()
    x, shuffled = torch.randn(2, 16, 35, 1, dtype=torch.float64), torch.randperm(35)
    torch.testing.assert_close(module(x[:, :, shuffled]), module(x)[:, :, shuffled])


def test_without_weights_two_halves_or_half_of_a_half() -> None:
    x = torch.randn(2, 8, 4, 4)
    for order, share in (("parallel", 1.0), ("sequential", 0.25)):
        module = PolarizedSelfAttention(8, order=order)
        for parameter in module.parameters():
            torch.nn.init.zeros_(parameter)
        torch.testing.assert_close(module(x), share * x)


def test_costs_far_less_than_its_projections() -> None:
    """Reading first leaves less than a hundredth of a 3x3 convolution; in full they are a sixth."""
    assert PolarizedSelfAttention(64).cost(56, 56).macs < 64 * 64 * 9 * 56 * 56 / 100


@pytest.mark.parametrize(("option", "value"), [("order", "both"), ("form", "code")])
def test_unknown_forms(option: str, value: str) -> None:
    with pytest.raises(OptionError, match=option):
        PolarizedSelfAttention(8, **{option: value})
