"""Parameters that rest because attention stands in their place, as a head's do behind class-wise attention.

Distributed training waits for the gradient of every parameter that asks for one, and stops where none comes.
"""

from __future__ import annotations

from torch import Tensor, nn

from foveate.insert.holder import BYPASS
from foveate.insert.inserted_parts import inserted, inserted_parameters
from foveate.mechanisms.switch import Block
from foveate.nested_tensors import tensors_in
from foveate.running import call_with, eval_seeded


def rest_unused(model: nn.Module, example: object) -> None:
    """Freeze what the attended model's output is not computed with, but the plain model's is.

    Of what was inserted earlier too, where other attention stands in its place now.
    """
    holders = list(inserted(model).values())
    reached = _reached(model, example)
    with BYPASS.on(Block(holders)):
        plain = _reached(model, example)
    idle = (plain | set(inserted_parameters(model))) - reached
    freeze(holders[0], [p for p in model.parameters() if p.requires_grad and p in idle])


def freeze(holder: nn.Module, parameters: list[nn.Parameter]) -> None:
    """Let ``parameters`` rest until ``wake`` is called."""
    for parameter in parameters:
        parameter.requires_grad_(False)
    holder.__dict__.setdefault("idle", []).extend(parameters)


def wake(holder: nn.Module) -> None:
    """Let what rests because of what is in ``holder`` learn again."""
    for parameter in holder.__dict__.get("idle", []):
        parameter.requires_grad_(True)


def _reached(model: nn.Module, example: object) -> set[Tensor]:
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
