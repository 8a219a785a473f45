from __future__ import annotations

import math

import pytest
import torch
from timm.layers.lambda_layer import LambdaLayer as TimmLambda
from torch import Tensor

from foveate.errors import OptionError
from foveate.mechanisms.pairwise.lambda_layer import LambdaLayer


@torch.no_grad()
def in_loops(module: LambdaLayer, x: Tensor) -> Tensor:
    """The lambda of each position, a K x V matrix, summed entry by entry, then applied to each query."""
    height, width = x.shape[2:]
    q, k, v = module.project(x).split(module.split, dim=1)
    q = module.norm_query(q)[0].unflatten(0, (module.heads, module.width))
    k = k[0].unflatten(0, (module.depth, module.width))
    v = module.norm_value(v)[0].unflatten(0, (module.depth, module.values))
    places = [(i, j) for i in range(height) for j in range(width)]
    content, reach = torch.zeros(module.width, module.values, dtype=x.dtype), module.window // 2
    for u in range(module.depth):
        for c in range(module.width):
            raised = [math.exp(k[u, c, i, j]) for i, j in places]
            content[c] += sum(
                r / sum(raised) * v[u, :, i, j] for r, (i, j) in zip(raised, places, strict=True)
            )
    y = torch.zeros(module.heads, module.values, height, width, dtype=x.dtype)
    for i, j in places:
        near = module.near.bias[:, None].expand_as(content).clone()
        for a, b in places:
            if abs(a - i) <= reach and abs(b - j) <= reach:
                for u in range(module.depth):
                    e = module.near.weight[:, u, a - i + reach, b - j + reach]
                    near += e[:, None] * v[u, :, a, b]
        for head in range(module.heads):
            y[head, :, i, j] = (content + near).T @ q[head, :, i, j]
    return y.flatten(0, 1)[None]


@pytest.mark.parametrize("options", [{"heads": 2}, {"heads": 1, "depth": 2, "window": 5}], ids=str)
def test_equals_the_formula_in_loops(options: dict[str, int], double: object) -> None:
    module = double("lambda_layer", 4, **{"width": 3, "window": 3, **options})
    x = torch.randn(1, 4, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(module(x), in_loops(module, x), rtol=0, atol=1e-10)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("heads", "width", "window"), [(4, 16, 9), (2, 8, 5)])
def test_equals_timm_with_its_weights(
    training: bool, heads: int, width: int, window: int, double: object
) -> None:
    ours = double("lambda_layer", 32, heads=heads, width=width, window=window).train(training)
    theirs = TimmLambda(32, num_heads=heads, dim_head=width, r=window).double().train(training)
    names = {"qkv": "project", "norm_q": "norm_query", "norm_v": "norm_value", "conv_lambda": "near"}
    found = {
        key: ours.state_dict()[".".join([names[key.split(".")[0]], key.split(".")[1]])]
        for key in theirs.state_dict()
    }
    found["conv_lambda.weight"] = found["conv_lambda.weight"].unsqueeze(-1)
    theirs.load_state_dict(found)
    x = torch.randn(3, 32, 7, 10, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-10)
    assert ours.cost(7, 10).parameters == sum(p.numel() for p in theirs.parameters())


def test_content_reaches_everywhere_and_position_the_window(double: object) -> None:
    module, x = double("lambda_layer", 8, window=3), torch.randn(1, 8, 6, 6, dtype=torch.float64)
    changed = x.clone()
    changed[..., 0, 0] += 1

    def reached() -> Tensor:
        return ((module(changed) - module(x)).abs().amax(dim=(0, 1)) > 1e-9).int()

    assert reached().all()
    module.map.register_forward_hook(lambda _m, _i, out: torch.zeros_like(out))
    corner = torch.zeros(6, 6, dtype=torch.int)
    corner[:2, :2] = 1
    assert torch.equal(reached(), corner)


def test_nothing_is_quadratic_in_the_positions(largest: type) -> None:
    module, x = LambdaLayer(16), torch.randn(1, 16, 64, 64).requires_grad_()
    with largest() as seen:
        module(x).sum().backward()
    assert seen.elements <= sum(module.split) * 64**2, seen.operator
    assert module.cost(64, 64).macs == 64**2 * module.cost(1, 1).macs


@pytest.mark.parametrize(("channels", "heads"), [(1, 1), (3, 3), (6, 3), (16, 4), (100, 4)])
def test_takes_the_most_heads_that_divide_the_channels(channels: int, heads: int) -> None:
    assert LambdaLayer(channels).heads == heads


@pytest.mark.parametrize(("option", "value"), [("window", 4), ("width", 0), ("depth", -1), ("heads", 5)])
def test_refuses_by_name(option: str, value: int) -> None:
    with pytest.raises(OptionError, match=f"{option}: got {value}"):
        LambdaLayer(16, **{option: value})
