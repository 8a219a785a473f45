"""Multiply-adds of every operator that multiplies matrices, as PyTorch dispatches them.

Attention reaches PyTorch under many names: a fused kernel for each device, or plain matrix products. All of
them are here, so that a model costs the same whichever kernel runs. Causal and masked attention counts in
full, as the unfused form does.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from torch import Tensor

Formula = Callable[..., int]


def _mm(a: Tensor, b: Tensor, *_: object, **__: object) -> int:
    return a.shape[0] * a.shape[1] * b.shape[1]


def _addmm(_bias: Tensor, a: Tensor, b: Tensor, *_: object, **__: object) -> int:
    return _mm(a, b)


def _mv(a: Tensor, *_: object, **__: object) -> int:
    return a.numel()


def _addmv(_bias: Tensor, a: Tensor, *_: object, **__: object) -> int:
    return a.numel()


def _bmm(a: Tensor, b: Tensor, *_: object, **__: object) -> int:
    return a.numel() * b.shape[2]


def _baddbmm(_bias: Tensor, a: Tensor, b: Tensor, *_: object, **__: object) -> int:
    return _bmm(a, b)


def _linear(x: Tensor, weight: Tensor, *_: object, **__: object) -> int:
    return x.numel() * weight.shape[0]


def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: object,
    padding: object,
    dilation: object,
    transposed: bool,
    *_: object,
    out: Tensor,
    **__: object,
) -> int:
    # A weight is (out, in/groups, k, k), or (in, out/groups, k, k) if transposed. Each output position then
    # takes part in in/groups * k * k products per output channel; transposed, each input position in
    # out/groups * k * k.
    positions = x if transposed else out
    return prod(positions.shape[2:]) * positions.shape[0] * weight.numel()


def _deform_convolution(x: Tensor, weight: Tensor, *_: object, out: Tensor, **__: object) -> int:
    return prod(out.shape[2:]) * out.shape[0] * weight.numel()


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: object, **__: object) -> int:
    # (..., heads, L, E), (..., heads, S, E), (..., heads, S, V): scores, then their product with the values.
    return prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1])


def _attention_heads_last(query: Tensor, key: Tensor, value: Tensor, *_: object, **__: object) -> int:
    # (B, L, heads, E), as the kernels beneath scaled_dot_product_attention lay it out.
    return prod(query.shape[:-1]) * key.shape[1] * (query.shape[-1] + value.shape[-1])


def _mkldnn_rnn(x: Tensor, weight_input: Tensor, weight_hidden: Tensor, *_: object, **__: object) -> int:
    return x.shape[0] * x.shape[1] * (weight_input.numel() + weight_hidden.numel())


_BY_NAME: dict[str, Formula] = {
    "aten.mm": _mm,
    "aten.addmm": _addmm,
    "aten._addmm_activation": _addmm,
    "aten.mv": _mv,
    "aten.dot": _mv,
    "aten.vdot": _mv,
    "aten.addmv": _addmv,
    "aten.bmm": _bmm,
    "aten.baddbmm": _baddbmm,
    "aten.addbmm": _baddbmm,
    "aten.linear": _linear,
    "aten.mkldnn_rnn_layer": _mkldnn_rnn,
    "aten.convolution": _convolution,
    "aten._convolution": _convolution,
    "aten.convolution_overrideable": _convolution,
    "torchvision.deform_conv2d": _deform_convolution,
    "aten._scaled_dot_product_flash_attention_for_cpu": _attention,
    "aten._scaled_dot_product_flash_attention": _attention,
    "aten._scaled_dot_product_efficient_attention": _attention,
    "aten._scaled_dot_product_cudnn_attention": _attention,
    "aten._scaled_dot_product_fused_attention_overrideable": _attention,
    "aten._scaled_dot_product_attention_math_for_mps": _attention,
    "aten._flash_attention_forward": _attention_heads_last,
    "aten._efficient_attention_forward": _attention_heads_last,
}


def macs_of(operator: object, arguments: tuple[object, ...], options: dict[str, object], out: object) -> int:
    """Return the multiply-adds of one call of an ATen operator; 0 for one that multiplies no matrices.

    Args:
        operator: An overload packet, such as ``torch.ops.aten.mm``.
        arguments: What it was called with.
        options: What it was called with by keyword.
        out: What it returned.
    """
    formula = _BY_NAME.get(str(operator))
    if formula is None:
        return 0
    if formula in (_convolution, _deform_convolution):
        return formula(*arguments, out=out, **options)
    return formula(*arguments, **options)


def has_formula(operator: object) -> bool:
    """Return whether ``macs_of`` knows the operator."""
    return str(operator) in _BY_NAME
