"""Blocks behind which nothing reads the positions, as in a transformer that then uses its class token only.

Attention there would change nothing and learn nothing. These blocks are found by a trial: the positions are
changed, and the input of the classifier stays the same. (Not its scores: a classifier whose weights start at
zero hides everything.)
"""

from __future__ import annotations

from contextlib import ExitStack

from torch import Tensor, nn

from foveate.insert.apply_layout import apply_to_map
from foveate.insert.find.flow import Flow
from foveate.insert.find.recorded_run import Call
from foveate.insert.layout import Layout
from foveate.mechanisms.ranks import places
from foveate.nested_tensors import bit_equal, map_first_tensor, tensors_in
from foveate.running import call_with, eval_seeded, fast_path_off


def find_unused_tokens(model: nn.Module, example: object, flow: Flow, head: Call | None) -> frozenset[str]:
    """Return the paths of the last blocks whose positions nothing reads; none where tensors have no values.

    Args:
        model: The model.
        example: What it takes.
        flow: Its run on the example.
        head: What makes the classifier's logits, if the model has a classifier.
    """
    found: list[str] = []
    if flow.result is None or flow.result.is_meta:
        return frozenset()
    for block in reversed(flow.blocks):
        layout = flow.maps.output(block)
        if layout is None or layout.kind != "tokens" or not layout.prefix or not flow.classifies:
            break
        if not _is_unused(model, example, flow, block, layout, head):
            break
        found.append(block.path)
    return frozenset(found)


def _is_unused(
    model: nn.Module, example: object, flow: Flow, block: Call, layout: Layout, head: Call | None
) -> bool:
    linear = [c for c in flow.trunk if isinstance(c.module, nn.Linear) and c.started > block.ended]
    head = linear[-1] if linear else head
    plain: list[object] = [flow.run.result] + ([head.inputs[0][2]] if head else [])
    seen: list[Tensor] = []

    def changed(m: Tensor) -> Tensor:
        return m.flip(*places(m)) * 1.5 + 1

    def change(module: nn.Module, args: object, output: object) -> object:
        return map_first_tensor(output, lambda x: apply_to_map(layout, x, changed))

    def note(module: nn.Module, args: tuple[object, ...]) -> None:
        seen.extend(list(tensors_in(args))[:1])

    with ExitStack() as stack:
        stack.callback(block.module.register_forward_hook(change).remove)
        if head is not None:
            stack.callback(head.module.register_forward_pre_hook(note).remove)
        stack.enter_context(eval_seeded(model))
        stack.enter_context(fast_path_off())
        return bit_equal(plain, [call_with(model, example), *seen])
