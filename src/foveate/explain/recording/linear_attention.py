"""Weights of linear attention without a softmax: from queries and keys of the layer's own method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from foveate.explain.families.layout import class_names

# Class of the layer -> its method that takes queries, keys and values (B, h, N, d), and gives (B, h, N, e)
METHODS = {"timm.models.efficientvit_mit.LiteMLA": "_attn"}


def method_of(module: nn.Module) -> str | None:
    """Return the name of the method of a layer whose arguments tell its weights."""
    return next((METHODS[name] for name in class_names(module) if name in METHODS), None)


@dataclass(frozen=True, eq=False)
class LinearCall:
    """Queries and keys after their kernel function: weights are ``q k^T`` over the sum of the row.

    Args:
        query: (B, h, N, d), not negative.
        key: (B, h, M, d), not negative.
        value: (B, h, M, e), and a last channel of ones that sums the row.
        eps: What is added to the sum.
        output: The result (B, h, N, e).
    """

    query: Tensor
    key: Tensor
    value: Tensor
    eps: float
    output: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weights, (B, h, N, M)."""
        return (*self.query.shape[:-1], self.key.shape[-2])

    @property
    def precision(self) -> str:
        """How exact the weights are, in words."""
        return "float32 recompute of linear attention"

    def weights(self, heads: tuple[int, ...] | None = None, rows: tuple[int, ...] | None = None) -> Tensor:
        """Return the weights (B, h, N, M) of some heads and queries, or of all."""
        query, key = self.query.float(), self.key.float()
        if heads is not None:
            query, key = query[:, list(heads)], key[:, list(heads)]
        if rows is not None:
            query = query[:, :, list(rows)]
        weights = query @ key.mT
        return weights / (weights.sum(-1, keepdim=True) + self.eps)

    def on_gradient(
        self, keep: Callable[[Tensor], None], heads: tuple[int, ...] | None, rows: tuple[int, ...] | None
    ) -> Any:
        """Hand the gradient with respect to the weights to ``keep``; return a handle, or None."""
        if not self.output.requires_grad:
            return None
        value = self.value[..., :-1].detach().float()

        def hook(gradient: Tensor) -> None:
            gradient, values = gradient.detach().float(), value
            if heads is not None:
                gradient, values = gradient[:, list(heads)], values[:, list(heads)]
            keep((gradient if rows is None else gradient[:, :, list(rows)]) @ values.mT)

        return self.output.register_hook(hook)


def of_layer(layer: Any, args: tuple[Any, ...], result: Tensor) -> LinearCall:
    """Return the attention inside one call of ``LiteMLA._attn``."""
    query, key, value = args
    return LinearCall(query.detach(), key.detach(), value, float(layer.eps), result)
