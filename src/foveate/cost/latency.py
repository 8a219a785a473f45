"""How long a forward pass or a training step takes, measured for several models side by side.

The speed of a machine changes during a measurement. So the models take turns, in an order that rotates from
round to round: a disturbance affects them all, and no model always runs right after the same other one.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import nn

from foveate.cost.one_pass import run_once
from foveate.errors import OptionError
from foveate.inputs import Example
from foveate.nested_tensors import tensors_in
from foveate.running import untouched


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one call with the whole example batch.

    Args:
        median: The middle of all rounds.
        low: The 10th percentile.
        high: The 90th percentile.
    """

    median: float
    low: float
    high: float


def measure(
    models: Mapping[str, nn.Module],
    example: Example,
    *,
    rounds: int = 20,
    warmup: int = 3,
    training: bool = False,
    examples: Mapping[str, Example] | None = None,
) -> dict[str, Latency]:
    """Time the models in turn.

    Args:
        models: What to time, by name. They are left as they were.
        example: An input that all of them take.
        rounds: How many times each model is timed; at least 2.
        warmup: How many times each model runs before that, untimed.
        examples: Inputs of models that take another one, by the models' names.
        training: Time forward and backward in training mode instead of forward in eval mode.

    Returns:
        The latency of each model, under its name.

    Raises:
        OptionError: ``rounds`` is less than 2.
    """
    if rounds < 2:
        raise OptionError(f"rounds: got {rounds}, expected at least 2: one round has no spread")
    times: dict[str, list[float]] = {name: [] for name in models}
    names, inputs = list(models), dict.fromkeys(models, example) | dict(examples or {})
    with ExitStack() as stack:
        for model in models.values():
            stack.enter_context(untouched(model, training=training))
        for _ in range(warmup):
            for name in names:
                _call(models[name], inputs[name], training)
        for turn in range(rounds):
            for name in rotated(names, turn):
                times[name].append(_call(models[name], inputs[name], training))
    return {name: _summary(values) for name, values in times.items()}


def rotated(names: list[str], turn: int) -> list[str]:
    """Return the names, starting one further on each turn, and in reverse on every second lap."""
    if not names:
        return []
    start = turn % len(names)
    order = names[start:] + names[:start]
    return order if turn // len(names) % 2 == 0 else order[::-1]


def _call(model: nn.Module, example: Example, training: bool) -> float:
    """Return the milliseconds of one call, the device's queue drained before and after."""
    devices = {t.device for t in tensors_in(example) if t.device.type == "cuda"}
    for device in devices:
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    run_once(model, example, training=training)
    for device in devices:
        torch.cuda.synchronize(device)
    milliseconds = 1e3 * (time.perf_counter() - start)
    if training:
        model.zero_grad(set_to_none=True)
    return milliseconds


def _summary(values: list[float]) -> Latency:
    tenths = statistics.quantiles(values, n=10, method="inclusive")
    return Latency(median=statistics.median(values), low=tenths[0], high=tenths[-1])
