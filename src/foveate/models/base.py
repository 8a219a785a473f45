"""The registry of foveate's own networks."""

from __future__ import annotations

from typing import Protocol

from torch import nn

from foveate.registry import Registry


class Builder(Protocol):
    """A function that builds a network for a number of classes."""

    def __call__(self, *, classes: int, **options: object) -> nn.Module:
        """Return the network with freshly drawn weights."""
        ...


models: Registry[Builder] = Registry("model", see="foveate list models")
