from __future__ import annotations

import numpy as np
import pytest
import torch

from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.spatial.strip_pooling import StripPooling


def along(strip: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Correlate (C, L) with (R, C, 3), zeros beyond both ends."""
    out = np.zeros((len(kernel), strip.shape[1]))
    for r, place in np.ndindex(*out.shape):
        for c, k in np.ndindex(*kernel.shape[1:]):
            if 0 <= place + k - 1 < strip.shape[1]:
                out[r, place] += kernel[r, c, k] * strip[c, place + k - 1]
    return out


def normed(strip: np.ndarray, layers: torch.nn.Sequential) -> np.ndarray:
    if layers[0].bias is not None:
        return strip + layers[0].bias.detach().numpy()[:, None]
    norm = {k: v.double().numpy()[:, None] for k, v in layers[1].state_dict().items() if v.ndim}
    scaled = (strip - norm["running_mean"]) / np.sqrt(norm["running_var"] + 1e-5)
    return scaled * norm["weight"] + norm["bias"]


@pytest.mark.parity("strip_pooling")
@pytest.mark.parametrize("norm", [True, False])
def test_equals_the_formula_written_out(norm: bool) -> None:
    torch.manual_seed(0)
    module = StripPooling(6, reduction=2, norm=norm).double().eval()
    for layer in module.modules():
        if isinstance(layer, BatchNorm):
            for tensor in (layer.weight.data, layer.bias.data, layer.running_mean, layer.running_var):
                tensor.uniform_(0.5, 2)
    x, expected = torch.randn(2, 6, 5, 4, dtype=torch.float64), []
    for image in x.numpy():
        down = along(image.mean(axis=2), module.rows[0].weight.detach().numpy()[:, :, :, 0])
        right = along(image.mean(axis=1), module.columns[0].weight.detach().numpy()[:, :, 0, :])
        total = normed(down, module.rows)[:, :, None] + normed(right, module.columns)[:, None, :]
        total = np.maximum(total, 0) if norm else total
        logits = np.einsum("cr,rhw->chw", module.excite.weight.detach().numpy()[:, :, 0, 0], total)
        logits += module.excite.bias.detach().numpy()[:, None, None]
        expected.append(image / (1 + np.exp(-logits)))
    np.testing.assert_allclose(module(x).detach(), np.stack(expected), rtol=1e-10, atol=1e-12)


def test_a_value_reaches_its_row_and_column_and_their_neighbours_only() -> None:
    torch.manual_seed(0)
    module, x = StripPooling(2, norm=False).double(), torch.randn(1, 2, 9, 8, dtype=torch.float64)
    changed = x.clone()
    changed[0, 0, 4, 3] += 5
    reached = (module(changed) != module(x)).any(dim=1)[0]
    expected = torch.zeros(9, 8, dtype=torch.bool)
    expected[3:6], expected[:, 2:5] = True, True
    assert torch.equal(reached, expected)


def test_without_weights_half_of_the_map() -> None:
    module, x = StripPooling(8).eval(), torch.randn(2, 8, 4, 4)
    torch.nn.init.zeros_(module.excite.weight)
    torch.nn.init.zeros_(module.excite.bias)
    assert torch.equal(module(x), x / 2)


def test_turned_map_and_swapped_strips_give_the_turned_output() -> None:
    module, twin = StripPooling(4, norm=False).double(), StripPooling(4, norm=False).double()
    state = {k.replace("rows", "_").replace("columns", "rows").replace("_.", "columns."): v for k, v in
             module.state_dict().items()}  # fmt: skip
    twin.load_state_dict({k: v.transpose(2, 3) if v.ndim == 4 else v for k, v in state.items()})
    x = torch.randn(2, 4, 6, 5, dtype=torch.float64)
    torch.testing.assert_close(twin(x.transpose(2, 3)), module(x).transpose(2, 3))
