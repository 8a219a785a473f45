"""The registry of foveate's own networks."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from foveate.registry import Registry

# Builds a network with freshly drawn weights from ``classes=...`` and options, all by keyword.
Builder = Callable[..., nn.Module]

models: Registry[Builder] = Registry("model", see="foveate list models")
