from __future__ import annotations

import math

import pytest
import torch

from foveate.errors import OptionError
from foveate.mechanisms.branch.pyramid_squeeze import PyramidSqueezeAttention


def double(channels: int = 8, **options: object) -> PyramidSqueezeAttention:
    torch.manual_seed(0)
    return PyramidSqueezeAttention(channels, **options).double()


def convolved(x: torch.Tensor, weight: torch.Tensor, groups: int) -> torch.Tensor:
    """A convolution of odd size, one output number at a time."""
    (channels, height, width), half = x.shape, weight.shape[2] // 2
    y, per = torch.zeros(len(weight), height, width, dtype=x.dtype), channels // groups
    for o in range(len(weight)):
        first = o // (len(weight) // groups) * per
        for i in range(height):
            for j in range(width):
                for a in range(max(0, i - half), min(height, i + half + 1)):
                    for b in range(max(0, j - half), min(width, j + half + 1)):
                        seen = weight[o, :, a - i + half, b - j + half]
                        y[o, i, j] += seen @ x[first : first + per, a, b]
    return y


def test_equals_the_formula_written_out() -> None:
    module, x = double(4, splits=2), torch.randn(1, 4, 3, 4, dtype=torch.float64)
    with torch.no_grad():
        maps = [convolved(x[0], c.weight, g) for c, g in zip(module.convolutions, (1, 2), strict=True)]
        raised = []
        for f, gate in zip(maps, module.gates, strict=True):
            means = torch.stack([channel.sum() / 12 for channel in f])
            z = (gate.squeeze.weight[:, :, 0, 0] @ means + gate.squeeze.bias).clamp(min=0)
            raised.append(
                torch.exp(1 / (1 + torch.exp(-(gate.excite.weight[:, :, 0, 0] @ z + gate.excite.bias))))
            )
        expected = torch.cat(
            [(r / sum(raised))[:, None, None] * f for r, f in zip(raised, maps, strict=True)]
        )
        torch.testing.assert_close(module(x)[0], expected, rtol=0, atol=1e-10)


def test_kernels_and_groups_of_the_authors() -> None:
    module = PyramidSqueezeAttention(64)
    sizes = [(c.kernel_size[0], c.groups, c.out_channels) for c in module.convolutions]
    assert sizes == [(3, 1, 16), (5, 4, 16), (7, 8, 16), (9, 16, 16)]
    expected = 64 * 16 * (9 + 25 / 4 + 49 / 8 + 81 / 16) + 4 * (2 * 16 + 17)
    assert module.cost(1, 1).parameters == expected


def test_every_split_sees_the_whole_input_and_the_input_survives() -> None:
    """Known fault elsewhere: each split convolves its own quarter, and writes it back into the input."""
    module, x = double(16), torch.randn(1, 16, 5, 5, dtype=torch.float64, requires_grad=True)
    module(x)[0, :4].sum().backward()  # what the 3x3 makes
    assert x.grad.abs().amax(dim=(0, 2, 3)).gt(0).all()
    names = [name for name, _ in module.named_parameters()]
    assert sum(name.startswith("convolutions") for name in names) == 4  # elsewhere they are in a plain list


def test_weights_stay_within_what_a_softmax_of_gates_can_reach() -> None:
    module, seen = double(16), []
    module.map.register_forward_hook(lambda _m, _i, weights: seen.append(weights))
    for gate, bias in zip(module.gates, (1e3, -1e3, -1e3, -1e3), strict=True):
        torch.nn.init.constant_(gate.excite.bias, bias)
    module(torch.randn(1, 16, 4, 4, dtype=torch.float64))
    assert math.isclose(seen[0][0, 0, 0].item(), math.e / (math.e + 3))


def test_channels_that_cannot_be_split_are_refused() -> None:
    with pytest.raises(OptionError, match=r"splits.*6"):
        PyramidSqueezeAttention(6)


@pytest.mark.parity("pyramid_squeeze")
def test_equals_the_authors_code_with_its_names() -> None:
    """EPSANet's PSAModule: one gate network for all splits, and the last split first."""
    generator, d = torch.Generator().manual_seed(1), 4

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64) / 4

    sizes = ((3, 1), (5, 4), (7, 4), (9, 4))  # as many groups as divide the four channels of a split
    state = {f"conv_{i}.weight": drawn(d, 16 // g, k, k) for i, (k, g) in enumerate(sizes, start=1)}
    state |= {"se.fc1.weight": drawn(1, d, 1, 1), "se.fc1.bias": drawn(1).abs()}
    state |= {"se.fc2.weight": drawn(d, 1, 1, 1), "se.fc2.bias": drawn(d)}
    x, conv = drawn(2, 16, 6, 5), torch.nn.functional.conv2d
    splits = [
        conv(x, state[f"conv_{i}.weight"], padding=k // 2, groups=g)
        for i, (k, g) in enumerate(sizes, start=1)
    ]
    gates = []
    for split in splits:
        hidden = conv(split.mean((2, 3), keepdim=True), state["se.fc1.weight"], state["se.fc1.bias"]).relu()
        gates.append(conv(hidden, state["se.fc2.weight"], state["se.fc2.bias"]).sigmoid().exp())
    weighed = [split * gate / sum(gates) for split, gate in zip(splits, gates, strict=True)]
    module = double(16, shared_gates=True, reverse=True)
    module.load_state_dict(module.from_published(state))
    torch.testing.assert_close(module(x), torch.cat(weighed[::-1], dim=1), rtol=0, atol=1e-12)


def test_as_many_parameters_as_the_authors_and_as_with_gates_of_their_own() -> None:
    for shared, total in ((True, 27_121), (False, 27_268)):
        module = PyramidSqueezeAttention(64, shared_gates=shared)
        assert sum(p.numel() for p in module.parameters()) == module.cost(1, 1).parameters == total
