"""The gates of inserted attention, as the trainer sees them."""

from __future__ import annotations

from torch import nn


def gates_of(model: nn.Module) -> list[nn.Parameter]:
    """Return the gates of what was inserted into ``model``; none for a plain model."""
    try:
        from foveate.insert.surgery import gate_parameters
    except ImportError:
        return []
    return list(gate_parameters(model))


def openings_of(model: nn.Module) -> dict[str, float]:
    """Return how far each gate has opened, by its site."""
    try:
        from foveate.insert.surgery import openings
    except ImportError:
        return {}
    return {site: float(value) for site, value in openings(model).items()}
