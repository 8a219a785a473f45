"""A warning, at the first step of an optimizer, where gates are trained too slowly to open.

A gate starts at 0. AdamW and its like move a parameter by about the learning rate a step, so at the rate of
the weights a gate hardly moves, and the attention stays off without any message.
"""

from __future__ import annotations

import threading
import warnings
import weakref
from typing import Any

from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.weak import WeakIdKeyDictionary

_gates = WeakIdKeyDictionary()  # every gate that is alive
_checked: weakref.WeakSet[Optimizer] = weakref.WeakSet()
_hooked = threading.Lock()  # taken once, and never released


def warn_if_slow(gate: nn.Parameter) -> None:
    """Warn if an optimizer takes its first step with this gate among the weights."""
    _gates[gate] = None
    if _hooked.acquire(blocking=False):
        register_optimizer_step_pre_hook(_check)


def _check(optimizer: Optimizer, *_: Any) -> None:
    if optimizer in _checked:
        return
    _checked.add(optimizer)
    if isinstance(optimizer, SGD):  # a step of SGD is as large as the gradient, so gates open at any rate
        return
    for group in optimizer.param_groups:
        rate = group.get("lr")
        if rate is None:  # the optimizer chooses the size of its steps itself, as Adafactor can
            continue
        slow = sum(parameter in _gates for parameter in group["params"])
        if slow and slow < len(group["params"]):
            warnings.warn(_text(slow, float(rate)), UserWarning, stacklevel=3)


def _text(gates: int, rate: float) -> str:
    which = "1 gate" if gates == 1 else f"{gates} gates"
    return (
        f"foveate: {which} of inserted attention learn at the rate of the weights, {rate:g}. A step moves "
        f"a gate by about that much, so 100 steps open it to {100 * rate:g}, where 1 is full attention. "
        "Give gates their own learning rate: torch.optim.AdamW(fv.parameter_groups(model, lr=..., steps=...))"
    )
