"""Parameter groups, the optimizer, and the learning rate of every step.

Three groups: matrices and kernels, which decay; norms, biases and other vectors, which do not; and the gates
of inserted attention, which do not decay either (decay would close them) and have a learning rate of their
own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from foveate.insert.inserted_parts import gate_parameters
from foveate.options import between, positive, whole
from foveate.recipe import TrainConfig

GATE_LR = 1e-2  # of gates where nobody says how many steps there are: a hundred steps open a gate


@dataclass(frozen=True)
class Schedule:
    """A learning rate that rises in a straight line and falls in half a cosine.

    Args:
        lr: The highest value.
        warmup: Steps in which it rises.
        steps: Steps in all.
    """

    lr: float
    warmup: int
    steps: int

    def __call__(self, step: int) -> float:
        """Return the learning rate of ``step``, counted from 0."""
        if step < self.warmup:
            return self.lr * (step + 1) / (self.warmup + 1)
        share = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.lr * 0.5 * (1.0 + math.cos(math.pi * min(1.0, share)))


def schedules(config: TrainConfig, steps: int) -> dict[str, Schedule]:
    """Return the schedule of every parameter group, by the group's name.

    A step of AdamW is about as long as its learning rate, whatever the gradient, and a cosine from L to zero
    adds up to L / 2 a step. So the gates' rate follows from how far they may go, and not from the rate of the
    weights: a short fine-tuning at a small rate can open them as far as a long training. A step of SGD is as
    long as the gradient: there the gates have the rate of the weights.
    """
    usual = Schedule(config.lr, round(config.warmup * steps), steps)
    highest = config.lr if config.optimizer == "sgd" else 2.0 * config.gate_reach / max(1, steps)
    gates = Schedule(highest, round(config.gate_warmup * steps), steps)
    return {"decayed": usual, "undecayed": usual, "gates": gates}


def parameter_groups(
    model: nn.Module,
    *,
    lr: float,
    steps: int | None = None,
    weight_decay: float = 0.05,
    gate_reach: float = 2.0,
) -> list[dict[str, Any]]:
    """Return parameter groups for an optimizer of your own; groups without parameters are left out.

    The groups are called ``decayed`` (matrices and kernels), ``undecayed`` (norms, biases, other vectors)
    and ``gates``. The gates of inserted attention start at 0 and need a higher learning rate than the
    weights: a step of AdamW is as long as its learning rate, so in 100 steps at 1e-4 a gate gets to 0.01.

    Args:
        model: May say by ``no_weight_decay()``, as timm's do, which names do not decay.
        lr: Learning rate of the weights.
        steps: Optimizer steps of the whole training. The gates' rate is ``2 * gate_reach / steps``, so that a
            schedule that falls to zero lets a gate move by ``gate_reach`` at most. 0.01 if None.
        weight_decay: Decay of matrices and kernels.
        gate_reach: How far AdamW can move a gate in all steps; 1 is the paper's mechanism.

    Raises:
        OptionError: A number out of its range.

    Example:
        >>> groups = parameter_groups(nn.Linear(2, 2), lr=1e-3)
        >>> [(group["name"], group["lr"]) for group in groups]
        [('decayed', 0.001), ('undecayed', 0.001)]
    """
    lr, reach = positive("lr", lr), positive("gate_reach", gate_reach)
    gates = GATE_LR if steps is None else 2.0 * reach / whole("steps", steps)
    return [
        {**group, "lr": gates if group["name"] == "gates" else lr}
        for group in _sorted(model, between("weight_decay", weight_decay, 0.0))
    ]


def _sorted(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Sort the trainable parameters into groups by their decay, and whether they are gates."""
    gates = {id(p) for p in gate_parameters(model)}
    exempt = set(getattr(model, "no_weight_decay", tuple)())
    sorted_: dict[str, list[nn.Parameter]] = {"decayed": [], "undecayed": [], "gates": []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            plain = "undecayed" if parameter.ndim <= 1 or name in exempt else "decayed"
            sorted_["gates" if id(parameter) in gates else plain].append(parameter)
    decay = {"decayed": weight_decay}
    return [
        {"name": name, "params": parameters, "weight_decay": decay.get(name, 0.0)}
        for name, parameters in sorted_.items()
        if parameters
    ]


def build_optimizer(
    model: nn.Module, config: TrainConfig, betas: tuple[float, float] = (0.9, 0.999)
) -> Optimizer:
    """Return AdamW or SGD (Nesterov momentum 0.9) over the parameter groups."""
    groups = _sorted(model, config.weight_decay)
    # One kernel an update instead of a dozen; not with a gradient scale, which clipping has to undo first.
    fused = config.precision != "16-mixed" and all(
        p.device.type in ("cpu", "cuda") for p in model.parameters()
    )
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=0.9, nesterov=True, fused=fused)
    return torch.optim.AdamW(groups, lr=config.lr, betas=betas, fused=fused)


def set_learning_rates(
    optimizer: Optimizer, rates: dict[str, Schedule], step: int, factor: float = 1.0
) -> None:
    """Give every group its learning rate for ``step``, times ``factor``."""
    groups: Iterable[dict[str, object]] = optimizer.param_groups
    for group in groups:
        group["lr"] = factor * rates[str(group["name"])](step)
