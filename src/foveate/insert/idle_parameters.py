"""Parameters that are frozen because attention takes their place, as a head's with class-wise attention.

Distributed training waits for the gradient of every parameter that requires one, and stops if none comes.
"""

from __future__ import annotations

from torch import Tensor, nn

from foveate.insert.holder import BYPASS, holders
from foveate.mechanisms.switch import Block
from foveate.nested_tensors import tensors_in
from foveate.running import call_with, eval_seeded


def freeze_unused(model: nn.Module, example: object) -> None:
    """Freeze what the plain model's output is computed with, but the attended model's is not.

    Also what was inserted earlier and has been replaced by other attention since.
    """
    inserted = list(holders(model).values())
    used = _used(model, example)
    with BYPASS.on(Block(inserted)):
        plain = _used(model, example)
    idle = (plain | {p for holder in inserted for p in holder.parameters()}) - used
    freeze(inserted[0], [p for p in model.parameters() if p.requires_grad and p in idle])


def freeze(holder: nn.Module, parameters: list[nn.Parameter]) -> None:
    """Freeze ``parameters`` until ``unfreeze`` is called with the same holder."""
    for parameter in parameters:
        parameter.requires_grad_(False)
    holder.__dict__.setdefault("idle", []).extend(parameters)


def unfreeze(holder: nn.Module) -> None:
    """Unfreeze what is frozen because of what is in ``holder``."""
    for parameter in holder.__dict__.get("idle", []):
        parameter.requires_grad_(True)


def _used(model: nn.Module, example: object) -> set[Tensor]:
    """Return the tensors that get a gradient from the model's output, by the graph alone."""
    with eval_seeded(model, gradients=True):
        outputs = tensors_in(call_with(model, example))
    ahead = [t.grad_fn for t in outputs if t.grad_fn is not None]
    found, seen = set[Tensor](), set(ahead)
    while ahead:
        node = ahead.pop()
        variable = getattr(node, "variable", None)
        if isinstance(variable, Tensor):
            found.add(variable)
        following = {n for n, _ in node.next_functions if n is not None} - seen
        seen |= following
        ahead.extend(following)
    return found
