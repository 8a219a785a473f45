"""Three ways to attend: they give the same numbers, and two of them never hold N*N weights."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from foveate.mechanisms.kernels.memory_layout import like_input, tokens, untoken
from foveate.mechanisms.kernels.softmax_attention import ROWS, _row_blocks, attend
from foveate.mechanisms.map_tap import MapTap

WIDTHS = [(8, 8), (3, 8), (1, 8), (1, 1)]  # of queries and values


def parts(width: int, values: int, n: int = 70, m: int = 70, **kind: object) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(2, *s, **kind, requires_grad=True) for s in ((n, width), (m, width), (m, values))]


def naive(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """One query at a time, in Python floats."""
    out = torch.zeros(*query.shape[:2], value.shape[2], dtype=torch.float64)
    for b in range(len(query)):
        for i in range(query.shape[1]):
            scores = [scale * (query[b, i] * key[b, j]).sum().item() for j in range(key.shape[1])]
            raised = [math.exp(score - max(scores)) for score in scores]
            for j, weight in enumerate(raised):
                out[b, i] += weight / sum(raised) * value[b, j].detach()
    return out


@pytest.mark.parametrize(("width", "values"), WIDTHS)
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_equals_the_formula(width: int, values: int, scale: float) -> None:
    q, k, v = parts(width, values, 9, 7, dtype=torch.float64)
    tap = MapTap("b n m")
    for recording in (False, True):
        tap.recording = recording
        torch.testing.assert_close(
            attend(q, k, v, tap, scale=scale), naive(q, k, v, scale), rtol=0, atol=1e-12
        )


@pytest.mark.parametrize(("width", "values"), WIDTHS)
@pytest.mark.parametrize("n", [1, ROWS, ROWS + 1, 2 * ROWS + 7])
def test_both_paths_agree_with_their_gradients(width: int, values: int, n: int) -> None:
    found = []
    for recording in (False, True):
        inputs, tap = parts(width, values, n, 40), MapTap("b n m")
        tap.recording = recording
        out = attend(*inputs, tap)
        out.square().sum().backward()
        found.append([out, *(part.grad for part in inputs)])
    for fast, slow in zip(*found, strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-5 * slow.abs().max().item())


def test_blocks_equal_the_fused_kernel_and_pass_gradcheck() -> None:
    q, k, v = parts(3, 8, ROWS + 5, 4, dtype=torch.float64)
    expected = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None], scale=1.0)[:, 0]
    torch.testing.assert_close(attend(q, k, v, MapTap("b n m")), expected, rtol=0, atol=1e-14)
    q, k, v = parts(2, 3, ROWS + 2, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda *p: attend(*p, MapTap("b n m")), (q, k, v), fast_mode=True)


@pytest.mark.parametrize("few", [1, 100, 1 << 21])
def test_heads_of_any_stride_and_width_with_their_gradients(
    few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Block by block of few heads or many; what is written must not be a copy."""
    monkeypatch.setattr(sys.modules[attend.__module__], "BLOCK", few)
    torch.manual_seed(0)
    found, given = [], [torch.randn(2, n, 3, d, dtype=torch.float64) for n, d in ((9, 2), (7, 2), (7, 5))]
    for recording in (False, True):
        inputs, tap = [part.clone().requires_grad_() for part in given], MapTap("b k n m")
        tap.recording = recording
        out = attend(*(part.transpose(1, 2) for part in inputs), tap)
        out.square().sum().backward()
        found.append([out, *(part.grad for part in inputs)])
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-12)


def test_blocks_keep_half_precision_in_and_out() -> None:
    q, k, v = parts(3, 8, dtype=torch.bfloat16)
    out = attend(q, k, v, MapTap("b n m"))
    out.float().sum().backward()
    assert out.dtype == q.grad.dtype == v.grad.dtype == torch.bfloat16


def test_energies_beyond_half_precision_do_no_harm() -> None:
    for width in (3, 8):
        q, k, v = (300 * p.detach() for p in parts(width, 8))
        out = attend(q.half(), k.half(), v.half(), MapTap("b n m"))
        assert out.isfinite().all()


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_tokens_have_the_stride_that_the_fused_kernel_asks_for(
    channels: int, layout: torch.memory_format
) -> None:
    x = torch.randn(2, channels, 4, 3).contiguous(memory_format=layout)
    laid_out = tokens(x)
    assert laid_out.stride(-1) == 1
    assert torch.equal(laid_out[1, 5], x[1, :, 1, 2])
    assert torch.equal(untoken(laid_out, like=x), x)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # of what opcheck does
def test_the_compiler_and_the_counter_know_the_operator() -> None:
    query, key, value = (torch.randn(2, ROWS + 3, width, requires_grad=True) for width in (4, 4, 6))
    torch.library.opcheck(_row_blocks, (query, key, value))
    with FlopCounterMode(display=False) as counter:
        attend(query, key, value, MapTap("b n m", sums="m")).sum().backward()
    pairs = 2 * (ROWS + 3) ** 2
    assert counter.get_total_flops() == 2 * pairs * (4 + 6) + 2 * pairs * (3 * 4 + 2 * 6)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.channels_last_3d])
def test_what_is_returned_lies_as_the_input(layout: torch.memory_format) -> None:
    plain = torch.rand(2, 3, *(4, 5, 6)[: 2 if layout is torch.channels_last else 3])
    x = plain.contiguous(memory_format=layout)
    assert like_input(plain.double(), x).is_contiguous(memory_format=layout)
    assert like_input(x.double(), plain).is_contiguous() and like_input(x.double(), plain).dtype == x.dtype
