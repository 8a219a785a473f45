"""The tensors of a run, and how they are saved in a checkpoint and restored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from foveate.train.best import Best
from foveate.train.ema import Average
from foveate.train.position import Fingerprint, Position


@dataclass
class State:
    """Everything that a step changes.

    Args:
        model: The model itself, not Fabric's wrapper around it.
        optimizers: One per part, with its moments.
        average: The moving average of the weights, if there is one.
        best: The weights of the best epoch, if they are what is kept.
        fabric: Its precision plugin may hold a gradient scale.
        at: How far the run has got.
    """

    model: nn.Module
    optimizers: Mapping[str, Optimizer]
    average: Average | None
    best: Best | None
    fabric: Fabric
    at: Position

    def latest(self) -> Mapping[str, Tensor]:
        """Return the weights that are evaluated: the moving average if there is one, else the last ones."""
        return self.average.state if self.average else self.model.state_dict()

    def final_weights(self) -> Mapping[str, Tensor]:
        """Return the weights that the run ends with: the best epoch's if asked for, else the latest."""
        return self.best.weights if self.best and self.best.weights else self.latest()

    def final_score(self) -> float | None:
        """Return the validation score of these weights; None without validation images."""
        if self.best and self.best.weights:
            return self.best.score
        return self.at.history[-1]["val_score"] if self.at.history else None

    def capture(self, run: Fingerprint) -> tuple[dict[str, Tensor], dict[str, object]]:
        """Return weights and training state; tensors, numbers, strings, lists and dicts only."""
        training: dict[str, object] = {
            "format": 1,
            "run": run,
            "position": asdict(self.at),
            **self._moments(),
            "average": self.average.state if self.average else None,
            "best": self.best.capture() if self.best else None,
            "precision": self.fabric.strategy.precision.state_dict(),
            "threads": torch.get_num_threads(),
        }
        return self.model.state_dict(), training

    def _moments(self) -> dict[str, object]:
        """Return the optimizers' states; of a single part as every version has kept it."""
        states = {part: optimizer.state_dict() for part, optimizer in self.optimizers.items()}
        return {"optimizer": states[""]} if [*states] == [""] else {"optimizers": states}

    def restore(self, weights: Mapping[str, Tensor], training: Mapping[str, Any]) -> None:
        """Restore a checkpoint."""
        self.model.load_state_dict(weights)
        states = training["optimizers"] if "optimizers" in training else {"": training["optimizer"]}
        for part, optimizer in self.optimizers.items():
            optimizer.load_state_dict(states[part])
        if self.average is not None:
            self.average.restore(training["average"])
        if self.best is not None:
            self.best.restore(training["best"])
        self.fabric.strategy.precision.load_state_dict(training["precision"])
        self.at = Position(**training["position"])
