from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.mechanisms.base import build
from foveate.mechanisms.pairwise.axial import AxialAttention
from foveate.mechanisms.pairwise.multi_head import sine2d


@torch.no_grad()
def reshaped(module: AxialAttention, x: Tensor) -> Tensor:
    """PyTorch's own multi-head attention, with each row, then each column, as one sequence of a batch."""
    channels = module.channels
    for lines, order in ((module.rows, (0, 2, 3, 1)), (module.columns, (0, 3, 2, 1))):
        theirs = nn.MultiheadAttention(
            channels, module.heads, bias=lines.merge.bias is not None, batch_first=True
        )
        theirs = theirs.double()
        theirs.in_proj_weight.data, theirs.out_proj.weight.data = lines.project.weight, lines.merge.weight
        if lines.merge.bias is not None:
            theirs.in_proj_bias.data, theirs.out_proj.bias.data = lines.project.bias, lines.merge.bias
        placed = x + sine2d(x) if module.positions == "sine2d" else x
        laid_out = placed.permute(order)
        sequences = lines.norm(laid_out.flatten(0, 1))
        read = theirs(sequences, sequences, sequences, need_weights=False)[0].view(laid_out.shape)
        read = read.permute(*(order.index(axis) for axis in range(4)))
        x = x + read if module.residual else read
    return x


@pytest.mark.parametrize(
    "options",
    [{}, {"heads": 2}, {"positions": "sine2d"}, {"norm": False, "bias": False}, {"residual": False}],
    ids=str,
)
def test_equals_torchs_own_on_rows_then_columns(
    options: dict[str, object], double: object, explicit: object
) -> None:
    module, x = double("axial", 16, **options), torch.randn(2, 16, 5, 3, dtype=torch.float64)
    expected = reshaped(module, x)
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(explicit(module, x), expected, rtol=0, atol=1e-10)


def reached(module: AxialAttention, x: Tensor) -> Tensor:
    """Where the output changes when the value in the middle does."""
    changed = x.clone()
    changed[:, 0, 2, 1] += 1
    return ((module(changed) - module(x)).abs().amax(dim=(0, 1)) > 1e-9).int()


def test_rows_reach_the_row_and_both_reach_everything(double: object) -> None:
    module, x = double("axial", 8), torch.randn(1, 8, 5, 4, dtype=torch.float64)
    assert reached(module, x).all()
    module.columns.merge.weight.data.zero_()
    row = torch.zeros(5, 4, dtype=torch.int)
    row[2] = 1
    assert torch.equal(reached(module, x), row)


def test_the_maps_say_where_was_looked(double: object, explicit: object) -> None:
    """In each map the last axis is the one looked at: what is doubled there draws all weight to it."""
    module, x = double("axial", 8, norm=False), torch.randn(1, 8, 5, 4, dtype=torch.float64)
    seen: list[Tensor] = []
    for lines in (module.rows, module.columns):
        lines.map.register_forward_hook(lambda _m, _i, formed: seen.append(formed))
    explicit(module, x)
    rows, columns = seen
    assert rows.shape == (1, 5, 8, 4, 4) and columns.shape == (1, 4, 8, 5, 5)
    query, key, _ = module.rows.project(x[0, :, 3].T).unflatten(-1, (3, 8, 1)).unbind(1)
    torch.testing.assert_close(rows[0, 3, 6], (query[:, 6] @ key[:, 6].T).softmax(dim=1))


@pytest.mark.parametrize("channels", [64, 128])
def test_parameters_are_two_of_torchs_own(channels: int) -> None:
    own = sum(p.numel() for p in nn.MultiheadAttention(channels, 8).parameters())
    assert build("axial", channels, norm=False).cost(4, 4).parameters == 2 * own


def test_costs_far_less_than_all_pairs() -> None:
    axial, full = (build(name, 16).cost(64, 64).macs for name in ("axial", "multi_head"))
    assert axial < full / 20


def test_refuses_what_cannot_be() -> None:
    with pytest.raises(OptionError, match="heads: got 5"):
        AxialAttention(16, heads=5)
    with pytest.raises(OptionError, match="positions: got 'learned'"):
        AxialAttention(16, positions="learned")
