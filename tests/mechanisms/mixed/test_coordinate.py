from __future__ import annotations

import numpy as np
import pytest
import torch
from timm.layers.coord_attn import CoordAttn
from torch import Tensor

from foveate.mechanisms.mixed.coordinate import CoordinateAttention


def opened(channels: int = 10) -> CoordinateAttention:
    torch.manual_seed(0)
    module = CoordinateAttention(channels).double().eval()
    module.norm.weight.data.uniform_(0.5, 2)
    module.norm.bias.data.uniform_(-1, 1)
    module.norm.running_mean.uniform_(-0.2, 0.2)
    module.norm.running_var.uniform_(0.5, 2)
    return module


def sigmoid(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))


def naive(x: np.ndarray, module: CoordinateAttention) -> np.ndarray:
    state = {key: value.numpy() for key, value in module.state_dict().items()}

    def shared(mean: np.ndarray) -> np.ndarray:
        v = state["squeeze.weight"][:, :, 0, 0] @ mean + state["squeeze.bias"]
        v = (v - state["norm.running_mean"]) / np.sqrt(state["norm.running_var"] + 1e-5)
        v = v * state["norm.weight"] + state["norm.bias"]
        return v * np.clip(v + 3, 0, 6) / 6

    def gate(name: str, mean: np.ndarray) -> np.ndarray:
        return sigmoid(
            state[f"excite_{name}.weight"][:, :, 0, 0] @ shared(mean) + state[f"excite_{name}.bias"]
        )

    y = np.empty_like(x)
    for b, i, j in np.ndindex(x.shape[0], x.shape[2], x.shape[3]):
        y[b, :, i, j] = (
            x[b, :, i, j] * gate("rows", x[b, :, i].mean(1)) * gate("columns", x[b, :, :, j].mean(1))
        )
    return y


def test_equals_the_formula_written_out() -> None:
    module, x = opened(), torch.randn(2, 10, 5, 4, dtype=torch.float64)
    np.testing.assert_allclose(module(x).detach(), naive(x.numpy(), module), rtol=1e-10, atol=1e-12)


@pytest.mark.parity("coordinate")
@pytest.mark.parametrize("training", [False, True])
def test_equals_timm(training: bool) -> None:
    module, x = opened(64).train(training), torch.randn(2, 64, 7, 5, dtype=torch.float64)
    other = CoordAttn(64, rd_channels=8, bias=True).double().train(training)
    pairs = {"conv1": "squeeze", "bn1": "norm", "conv_h": "excite_rows", "conv_w": "excite_columns"}
    for theirs, ours in pairs.items():
        other.get_submodule(theirs).load_state_dict(module.get_submodule(ours).state_dict())
    torch.testing.assert_close(module(x), other(x))


def test_never_under_eight_hidden_channels() -> None:
    assert {c: CoordinateAttention(c).hidden for c in (4, 64, 256, 512)} == {4: 8, 64: 8, 256: 8, 512: 16}


def test_gates_are_gates() -> None:
    """Known fault elsewhere: no sigmoid, so that gates of -0.5 turn a channel's sign."""
    module, seen = opened(), []
    for tap in (module.rows, module.columns):
        tap.register_forward_hook(lambda _module, _input, output: seen.append(output))
    module(50 * torch.randn(2, 10, 6, 6, dtype=torch.float64))
    assert len(seen) == 2 and all(0 <= gates.min() and gates.max() <= 1 for gates in seen)


def test_a_transposed_map_swaps_rows_and_columns() -> None:
    module, twin, x = opened(), opened(), torch.randn(2, 10, 5, 4, dtype=torch.float64)
    twin.excite_rows.load_state_dict(module.excite_columns.state_dict())
    twin.excite_columns.load_state_dict(module.excite_rows.state_dict())

    def transposed(t: Tensor) -> Tensor:
        return t.transpose(2, 3)

    torch.testing.assert_close(transposed(twin(transposed(x))), module(x))
