"""Weights in the layout of BigGAN-PyTorch and SAGAN's release under the names of ours."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

_STATISTICS = {"stored_mean": "norm.running_mean", "stored_var": "norm.running_var"}


def of_released(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights by our names; singular values, which follow from the weights, are left out."""
    found = {}
    for name, value in state.items():
        path, _, last = name.rpartition(".")
        if last == "sv0":
            continue
        if last == "u0":
            found[f"{path}.u"] = value.flatten()
        else:
            found[f"{path}.{_STATISTICS.get(last, last)}"] = value
    return found
