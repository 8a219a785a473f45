"""Calls of ``scaled_dot_product_attention``: the recorded weights against loops in float64."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import foveate as fv


class Fused(nn.Module):
    """The user's own call, with whatever options."""

    def __init__(self, **options: object) -> None:
        super().__init__()
        self.options = options

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, **self.options)


def inputs(
    n: int = 5, m: int = 7, heads: int = 4, key_heads: int = 4, dtype: torch.dtype = torch.float32
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    shapes = [(2, heads, n, 6), (2, key_heads, m, 6), (2, key_heads, m, 3)]
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


def by_loops(q: Tensor, k: Tensor, options: dict[str, object]) -> Tensor:
    """Softmax over keys, one query at a time, in float64."""
    b, h, n, d = q.shape
    m = k.shape[2]
    out = torch.zeros(b, h, n, m, dtype=torch.float64)
    scale = options.get("scale", d**-0.5)
    for i in range(b):
        for head in range(h):
            for row in range(n):
                scores = []
                for column in range(m):
                    key = k[i, head * k.shape[1] // h, column].double()
                    score = float(q[i, head, row].double() @ key) * scale
                    mask = options.get("attn_mask")
                    if mask is not None:
                        at = mask.expand(b, h, n, m)[i, head, row, column]
                        score = (
                            (score if at else -math.inf) if mask.dtype == torch.bool else score + float(at)
                        )
                    if options.get("is_causal") and column > row:
                        score = -math.inf
                    scores.append(score)
                if max(scores) > -math.inf:
                    exps = [math.exp(s - max(scores)) for s in scores]
                    out[i, head, row] = torch.tensor(exps, dtype=torch.float64) / sum(exps)
    return out


def some_hidden() -> Tensor:
    mask = torch.rand(5, 7, generator=torch.Generator().manual_seed(5)) > 0.4
    mask[2] = False  # a query that sees nothing
    return mask


CASES: dict[str, dict[str, object]] = {
    "plain": {},
    "scale": {"scale": 1.0},
    "added": {"attn_mask": torch.randn(2, 1, 5, 7, generator=torch.Generator().manual_seed(4))},
    "hidden": {"attn_mask": some_hidden()},
    "hidden keys": {"attn_mask": some_hidden()[:1]},
    "causal": {"is_causal": True},
    "grouped": {"enable_gqa": True},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("dtype", "within"), [(torch.float32, 1e-6), (torch.float64, 1e-12), (torch.bfloat16, 5e-3)]
)
def test_weights_are_those_of_the_formula(case: str, dtype: torch.dtype, within: float) -> None:
    options = CASES[case]
    given = inputs(key_heads=2 if case == "grouped" else 4, dtype=dtype)
    mask = options.get("attn_mask")
    if isinstance(mask, Tensor) and mask.dtype != torch.bool:
        options = {**options, "attn_mask": mask.to(dtype)}
    model = Fused(**options)
    plain = model(*given)
    with fv.record(model) as maps:
        assert torch.equal(model(*given), plain)
    expected = by_loops(given[0], given[1], options)
    torch.testing.assert_close(maps[""].double(), expected, rtol=0, atol=within)
    call = maps.calls("")[0]
    assert call.axes == "b k n m" and call.kind == "softmax" and call.geometry is None
    kernel, computed = (str(t).removeprefix("torch.") for t in (dtype, maps[""].dtype))
    assert call.precision == f"{computed} recompute of a {kernel} kernel"


def test_under_autocast_the_weights_are_those_of_the_kernel() -> None:
    """The call gets float32 and the kernel bfloat16: the weights are those of what was rounded."""
    given = inputs()
    rounded = [x.bfloat16() for x in given]
    with fv.record(model := Fused()) as maps, torch.autocast("cpu", torch.bfloat16):
        model(*given)
    assert maps.calls("")[0].precision == "float32 recompute of a bfloat16 kernel"
    torch.testing.assert_close(maps[""].double(), by_loops(*rounded[:2], {}), rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_heads_and_queries_are_rows_of_the_whole(case: str) -> None:
    options = CASES[case]
    given = inputs(key_heads=2 if case == "grouped" else 4)
    model = Fused(**options)
    with fv.record(model) as whole, fv.record(model, heads=[3, 1], queries=[0, 4]) as some:
        model(*given)
    torch.testing.assert_close(some[""], whole[""][:, [3, 1]][:, :, [0, 4]])
    with fv.record(model, heads="mean", queries=2) as mean:
        model(*given)
    torch.testing.assert_close(mean[""], whole[""].mean(1, keepdim=True)[:, :, [2]])


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_the_formula(case: str) -> None:
    """Against a graph through the weights themselves: O = A V, loss of O."""
    options = CASES[case]
    given = inputs(key_heads=2 if case == "grouped" else 4, dtype=torch.float64)
    if isinstance(mask := options.get("attn_mask"), Tensor) and mask.dtype != torch.bool:
        options = {**options, "attn_mask": mask.double()}
    for x in given:
        x.requires_grad_()
    with fv.record(model := Fused(**options), grad=True) as maps:
        model(*given).sin().sum().backward()
    weights = maps[""].clone().requires_grad_()
    values = given[2].detach().repeat_interleave(4 // given[2].shape[1], dim=1)
    (weights @ values).sin().sum().backward()
    torch.testing.assert_close(maps.calls("")[0].gradient, weights.grad, rtol=1e-10, atol=1e-10)


def test_every_call_of_a_layer_is_kept() -> None:
    model = Fused()
    with fv.record(model) as maps:
        for n in (5, 2, 3):
            model(*inputs(n))
    assert [tuple(call.weights.shape) for call in maps.calls("")] == [(2, 4, n, 7) for n in (5, 2, 3)]
    assert [(call.call, call.order) for call in maps.calls("")] == [(0, 0), (1, 1), (2, 2)]
    assert maps[""] is maps.calls("")[-1].weights


def test_a_call_outside_of_the_model_is_not_the_models() -> None:
    with fv.record(Fused()) as maps:
        F.scaled_dot_product_attention(*inputs())
    assert not maps
    with pytest.raises(fv.FoveateError, match="has no attention"):
        maps[""]
