"""Weights of a call of ``scaled_dot_product_attention``, computed again from its arguments.

The fused kernels never form them. Softmax of ``q k^T scale + bias`` over the keys; a boolean mask keeps what
is True; ``is_causal`` is the triangle from the top left, also where N differs from M; a query whose keys
are all masked has weights of zero, as the kernels have it. Computed in float32 at least, from the tensors
that the kernel gets: under autocast those are in the type of the output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class SdpaCall:
    """The arguments of one call, and its result.

    Args:
        query: (..., N, d).
        key: (..., M, d).
        value: (..., M, e).
        mask: Broadcast to (..., N, M): True keeps, or added to the scores.
        dropout: The probability that a weight is dropped.
        causal: Whether a query sees only the keys up to its own number.
        scale: What scores are multiplied by; None for ``d ** -0.5``.
        grouped: Whether several heads of queries share one of keys.
        output: The tensor whose gradient is that of the result, with ``output_gradient``.
        output_gradient: Turns the gradient of ``output`` into that of the result (..., N, e).
    """

    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    dropout: float
    causal: bool
    scale: float | None
    grouped: bool
    output: Tensor
    output_gradient: Callable[[Tensor], Tensor] | None = None

    @classmethod
    def of(cls, output: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> SdpaCall:
        """Read the arguments as ``scaled_dot_product_attention`` takes them."""
        return cls(*_bound(*args, **kwargs), output=output)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weights, (..., N, M)."""
        keys: tuple[int, ...] = self.key.shape[:-2]
        if self.grouped:
            keys = (*keys[:-1], self.query.shape[-3])
        lead = tuple(self.query.shape[:-2])
        if lead != tuple(keys):
            lead = torch.broadcast_shapes(lead, keys)
        return (*lead, self.query.shape[-2], self.key.shape[-2])

    @property
    def precision(self) -> str:
        """How exact the weights are, in words."""
        kernel = self.output.dtype
        text = f"{_name(self._type)} recompute of a {_name(kernel)} kernel"
        return text + (f", without its dropout of {self.dropout:g}" if self.dropout else "")

    @property
    def _type(self) -> torch.dtype:
        return torch.promote_types(self.output.dtype, torch.float32)

    def weights(self, heads: tuple[int, ...] | None = None, rows: tuple[int, ...] | None = None) -> Tensor:
        """Return the weights (..., N, M) of some heads (axis -3) and some queries, or of all."""
        kind = self.query.device.type
        if not torch.is_autocast_enabled(kind):
            return self._weights(heads, rows)
        with torch.autocast(kind, enabled=False):
            return self._weights(heads, rows)

    def _weights(self, heads: tuple[int, ...] | None, rows: tuple[int, ...] | None) -> Tensor:
        kernel = self.output.dtype
        query, key = self._rows(self.query.to(kernel), rows), self._all_heads(self.key.to(kernel))
        query, key, mask = self._heads(query, heads), self._heads(key, heads), self.mask
        if mask is not None and mask.ndim > 2:
            mask = self._heads(mask, heads)
        scale = query.shape[-1] ** -0.5 if self.scale is None else self.scale
        scores = (query.to(self._type) * scale) @ key.to(self._type).mT
        if self.causal:
            n, m = self.shape[-2:]
            visible = torch.ones(n, m, dtype=torch.bool, device=scores.device).tril()
            scores = scores.masked_fill(~self._rows(visible, rows), -torch.inf)
        if mask is None:
            return scores.softmax(-1)
        mask = self._rows(mask, rows)
        if mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask, -torch.inf)
        else:
            scores = scores + mask
        return scores.softmax(-1).masked_fill((scores == -torch.inf).all(-1, keepdim=True), 0)

    def on_gradient(
        self, keep: Callable[[Tensor], None], heads: tuple[int, ...] | None, rows: tuple[int, ...] | None
    ) -> Any:
        """Hand the gradient with respect to the weights, ``dO V^T``, to ``keep`` when it is computed.

        Returns:
            The handle of the hook, or None if nothing here has a gradient.
        """
        if not self.output.requires_grad:
            return None
        value = self._heads(self._all_heads(self.value), heads).detach()

        def hook(gradient: Tensor) -> None:
            gradient = self.output_gradient(gradient) if self.output_gradient else gradient
            gradient = self._rows(self._heads(gradient, heads), rows)
            keep(gradient.detach().to(self._type) @ value.to(self._type).mT)

        return self.output.register_hook(hook)

    def _all_heads(self, keys: Tensor) -> Tensor:
        if not self.grouped:
            return keys
        return keys.repeat_interleave(self.query.shape[-3] // keys.shape[-3], dim=-3)

    def _heads(self, of: Tensor, heads: tuple[int, ...] | None) -> Tensor:
        return of if heads is None or of.shape[-3] == 1 else of[..., list(heads), :, :]

    def _rows(self, of: Tensor, rows: tuple[int, ...] | None) -> Tensor:
        return of if rows is None or of.shape[-2] == 1 else of[..., list(rows), :]


def _bound(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None, float, bool, float | None, bool]:
    return query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
