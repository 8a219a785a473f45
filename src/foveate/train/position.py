"""How far a run has got, and which run it is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from torch import nn

from foveate.recipe import TrainConfig
from foveate.train.history import Epoch

Fingerprint = dict[str, object]


@dataclass
class Position:
    """How far a run has got: everything but the tensors that a checkpoint must hold.

    Args:
        step: Steps taken.
        loss: Sum of the losses of this epoch's steps, of the first part that is trained.
        seconds: Wall time, without interruptions.
        training_seconds: Wall time of training steps alone.
        epoch_seconds: Wall time of this epoch.
        images: Images trained on.
        history: One entry per finished epoch.
        losses: The same sum for every part, where there are several.
    """

    step: int = 0
    loss: float = 0.0
    seconds: float = 0.0
    training_seconds: float = 0.0
    epoch_seconds: float = 0.0
    images: int = 0
    history: list[Epoch] = field(default_factory=list)
    losses: dict[str, float] = field(default_factory=dict)


def fingerprint(
    model: nn.Module,
    task: str,
    config: TrainConfig,
    items: int,
    identity: Mapping[str, object] | None = None,
) -> Fingerprint:
    """Return what has to be the same when a run is continued; JSON-able.

    ``max_steps`` is not part of it: a run may be continued beyond a former limit.

    Args:
        model: With or without attention.
        task: Its name.
        config: The recipe.
        items: Training images.
        identity: What else decides the run: its data, its initial weights. It comes first in errors.
    """
    recipe = asdict(config)
    del recipe["max_steps"]
    shapes = repr([(name, tuple(value.shape)) for name, value in model.state_dict().items()])
    digest = hashlib.sha256(shapes.encode()).hexdigest()[:16]
    stated = dict(identity or {})
    return {**stated, "task": task, "train_items": items, "model": digest, **recipe, **stated}
