"""Blocks behind which nothing reads the positions, as where a transformer ends with its class token alone.

Attention there would change nothing and learn nothing. It is told by trying: the positions are changed, and
what the classifier receives stays the same. (Not its scores: a classifier whose weights start at zero hides
everything.)
"""

from __future__ import annotations

from contextlib import ExitStack

from torch import Tensor, nn

from foveate.insert.find.classifier_sites import head_of
from foveate.insert.find.flow import Flow
from foveate.insert.find.probe import Call
from foveate.insert.layout import Layout
from foveate.mechanisms.ranks import places
from foveate.nested_tensors import bit_equal, map_first_tensor, tensors_in
from foveate.running import call_with, eval_seeded, fast_path_off


def find_unread(model: nn.Module, example: object, flow: Flow) -> frozenset[str]:
    """Return the paths of the last blocks whose positions nobody reads; none where tensors have no values."""
    found: list[str] = []
    if flow.result is None or flow.result.is_meta:
        return frozenset()
    for block in reversed(flow.blocks):
        layout = flow.maps.output(block)
        if layout is None or layout.kind != "tokens" or not layout.prefix or not flow.classifies:
            break
        if not _is_unread(model, example, flow, block, layout):
            break
        found.append(block.path)
    return frozenset(found)


def _is_unread(model: nn.Module, example: object, flow: Flow, block: Call, layout: Layout) -> bool:
    heads = [c for c in flow.trunk if isinstance(c.module, nn.Linear) and c.started > block.ended]
    head = heads[-1] if heads else head_of(flow)
    plain: list[object] = [flow.notes.result] + ([head.inputs[0][2]] if head else [])
    seen: list[Tensor] = []

    def change(module: nn.Module, args: object, output: object) -> object:
        return map_first_tensor(output, lambda x: layout.apply(x, lambda m: m.flip(*places(m)) * 1.5 + 1))

    def note(module: nn.Module, args: tuple[object, ...]) -> None:
        seen.extend(list(tensors_in(args))[:1])

    with ExitStack() as stack:
        stack.callback(block.module.register_forward_hook(change).remove)
        if head is not None:
            stack.callback(head.module.register_forward_pre_hook(note).remove)
        stack.enter_context(eval_seeded(model))
        stack.enter_context(fast_path_off())
        return bit_equal(plain, [call_with(model, example), *seen])
