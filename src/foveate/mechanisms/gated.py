"""A map times gates that are broadcast over it, and the sums that such gates are computed from."""

from __future__ import annotations

from torch import Tensor


def gated(x: Tensor, *gates: Tensor) -> Tensor:
    """Return ``x`` times every one of ``gates``, each of a shape that broadcasts to that of ``x``."""
    for gate in gates:
        x = x * gate
    return x
