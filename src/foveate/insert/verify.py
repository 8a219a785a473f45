"""Check a model after an insertion: does it start as it was, and does it run all that was inserted?

The output of a model with closed gates does not show whether its attention runs. So every inserted mechanism
must have run, and something that the model returns must have been made of its output. Where no operation
shows that, the mechanism returns NaN once, and the result must change.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from foveate.errors import SiteError
from foveate.insert.find.recorded_run import Trace, TraceOperations
from foveate.insert.holder import BYPASS, Inserted, holders
from foveate.insert.slot import Slot
from foveate.insert.spec import Spec
from foveate.mechanisms.switch import Block
from foveate.nested_tensors import bit_equal, tensors_in
from foveate.running import call_with, eval_seeded


def copy_of(model: nn.Module) -> nn.Module:
    """Return a copy of a model.

    Raises:
        SiteError: It cannot be copied.
    """
    try:
        return copy.deepcopy(model)
    except Exception as error:
        hint = (
            "torch.nn.utils.weight_norm and spectral_norm keep such tensors: use the ones in "
            "torch.nn.utils.parametrizations, or remove them first"
            if "deepcopy protocol" in str(error)
            else "Insert before the model is wrapped or changed"
        )
        raise SiteError(
            f"{type(model).__name__} cannot be copied; insert and remove work on a copy, so that yours stays "
            f"as it is: {type(error).__name__}: {error}. {hint}."
        ) from error


def verify(model: nn.Module, example: object, spec: Spec, before: nn.Module | None) -> None:
    """Run a model that attention was inserted into, and check its output and that it runs the attention.

    Args:
        model: The model.
        example: What it takes.
        spec: What was inserted.
        before: The model before, whose output must be the same; None if it need not be.

    Raises:
        SiteError: It does not run, its output is not equal to the bit, or it bypasses a site.
    """
    interceptor = _Interceptor(model)
    with eval_seeded(model):
        try:
            with interceptor.following():
                ours = call_with(model, example)
        except Exception as error:
            raise SiteError(f"with {spec} the model does not run: {type(error).__name__}: {error}") from error
    if before is not None and not _starts_as(model, before, example, ours):
        raise SiteError(
            f"with {spec} the model's first output is not the plain model's. Either the model returns "
            "another output each time it runs, or it uses the module in a way that the insertion cannot see. "
            "Choose another site."
        )
    for slot in interceptor.slots:
        if not interceptor.outputs[id(slot)]:
            raise SiteError(
                f"{slot.title}: the model bypasses the module when it runs, so that attention there "
                "would have no effect. Choose another site."
            )
        if not interceptor.reaches(slot, ours) and _is_unaffected(model, example, ours, interceptor, slot):
            raise SiteError(
                f"{slot.title}: nothing reads what comes out there, so that attention would have no effect. "
                "Choose another site."
            )


def _starts_as(model: nn.Module, before: nn.Module, example: object, ours: object) -> bool:
    if holders(before):
        with eval_seeded(before):
            return bit_equal(ours, call_with(before, example))
    with eval_seeded(model), BYPASS.on(Block(holders(model).values())):
        return bit_equal(ours, call_with(model, example))


def _is_unaffected(
    model: nn.Module, example: object, ours: object, interceptor: _Interceptor, slot: Slot
) -> bool:
    """Return whether the result has floating tensors and stays the same when a mechanism returns NaN."""
    if not any(t.is_floating_point() and t.numel() for t in tensors_in(ours)):
        return False
    try:
        with eval_seeded(model), interceptor.filling_with_nan(slot):
            return bit_equal(ours, call_with(model, example))
    except Exception:  # whatever the model makes of NaN, it used the output
        return False


class _Interceptor:
    """Intercepts each mechanism's output where it meets the host's own.

    Attributes:
        slots: Every mechanism in the model.
        outputs: The nodes of what each has returned, by the identity of its slot.
    """

    def __init__(self, model: nn.Module) -> None:
        self.holders = list(holders(model).values())
        self.slots = [slot for holder in self.holders for slot in holder.slots if slot.name]
        self.outputs: dict[int, list[int]] = {id(slot): [] for slot in self.slots}
        self.trace = Trace()

    @contextmanager
    def following(self) -> Iterator[None]:
        """Record what is made of every mechanism's output."""

        def note(slot: Slot, output: Tensor) -> Tensor:
            self.outputs[id(slot)].append(self.trace.node_of(output))
            return output

        with self._intercepting(note), TraceOperations(self.trace):
            yield

    @contextmanager
    def filling_with_nan(self, chosen: Slot) -> Iterator[None]:
        """Let one mechanism return NaN."""

        def fill(slot: Slot, output: Tensor) -> Tensor:
            return torch.full_like(output, torch.nan) if slot is chosen else output

        with self._intercepting(fill):
            yield

    def reaches(self, slot: Slot, results: object) -> bool:
        """Return whether an operation made something of a mechanism's output that ended in the results."""
        waiting, seen = [self.trace.node_of(t) for t in tensors_in(results)], set[int]()
        while waiting:
            number = waiting.pop()
            if number not in seen:
                seen.add(number)
                waiting.extend(self.trace.nodes[number].parents)
        return not seen.isdisjoint(self.outputs[id(slot)])

    @contextmanager
    def _intercepting(self, function: Callable[[Slot, Tensor], Tensor]) -> Iterator[None]:
        """Pass every blended map through ``function``, without hooks, which turn PyTorch's fast paths off."""
        try:
            for holder in self.holders:
                holder.__dict__["_blend"] = _then(holder, function)
            yield
        finally:
            for holder in self.holders:
                holder.__dict__.pop("_blend", None)


def _then(holder: Inserted, function: Callable[[Slot, Tensor], Tensor]) -> Callable[..., Tensor]:
    def blend(slot: Slot, plain: Tensor, weighed: Tensor) -> Tensor:
        return function(slot, Inserted._blend(holder, slot, plain, weighed))

    return blend
