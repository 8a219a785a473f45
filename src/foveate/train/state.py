"""The tensors of a run, and how they go into a checkpoint and come back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from foveate.train.ema import Average
from foveate.train.position import Fingerprint, Position


@dataclass
class State:
    """Everything that a step changes.

    Args:
        model: The model itself, not Fabric's wrapper around it.
        optimizer: With its moments.
        average: The moving average of the weights, if there is one.
        fabric: Its precision plugin may hold a gradient scale.
        at: How far the run has come.
    """

    model: nn.Module
    optimizer: Optimizer
    average: Average | None
    fabric: Fabric
    at: Position

    def capture(self, run: Fingerprint) -> tuple[dict[str, Tensor], dict[str, object]]:
        """Return weights and training state; tensors, numbers, strings, lists and dicts only."""
        training: dict[str, object] = {
            "format": 1,
            "run": run,
            "position": asdict(self.at),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state if self.average else None,
            "precision": self.fabric.strategy.precision.state_dict(),
        }
        return self.model.state_dict(), training

    def restore(self, weights: Mapping[str, Tensor], training: Mapping[str, Any]) -> None:
        """Put a checkpoint back."""
        self.model.load_state_dict(weights)
        self.optimizer.load_state_dict(training["optimizer"])
        if self.average is not None:
            self.average.restore(training["average"])
        self.fabric.strategy.precision.load_state_dict(training["precision"])
        self.at = Position(**training["position"])
