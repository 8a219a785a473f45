"""Look at a model after the insertion: does it start as it was, and does it go through all that was inserted?

A closed gate hides whether anybody goes through it. So every inserted mechanism must have run, and something
that the model returns must have been made of what left it. Where no operation shows that, the mechanism
returns values that are not numbers once, and the result must change.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from foveate.errors import SiteError
from foveate.insert.find.trace import Trace
from foveate.insert.holder import BYPASS, Inserted, holders
from foveate.insert.slot import Slot
from foveate.insert.spec import Spec
from foveate.mechanisms.switch import Block
from foveate.nested_tensors import bit_equal, tensors_in
from foveate.running import call_with, eval_seeded


def copied(model: nn.Module) -> nn.Module:
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
            f"{type(model).__name__} cannot be copied, which insert and remove do so that yours stays as it "
            f"is: {type(error).__name__}: {error}. {hint}."
        ) from error


def verify(model: nn.Module, example: object, spec: Spec, before: nn.Module | None) -> None:
    """Run a model that attention was put into.

    Args:
        model: The model.
        example: What it takes.
        spec: What was put into it.
        before: The model before, which has to give the same; None where it need not.

    Raises:
        SiteError: It does not run, its output is not equal to the bit, or it goes around a site.
    """
    watch = _Watch(model)
    with eval_seeded(model):
        try:
            with watch.following():
                ours = call_with(model, example)
        except Exception as error:
            raise SiteError(f"with {spec} the model does not run: {type(error).__name__}: {error}") from error
    if before is not None and not _starts_as(model, before, example, ours):
        raise SiteError(
            f"with {spec} the model's first output is not the plain model's. Either the model gives another "
            "output each time it runs, or it uses the module in a way that the insertion does not see. "
            "Choose another site."
        )
    for slot in watch.slots:
        if not watch.made[id(slot)]:
            raise SiteError(
                f"{slot.title}: the model goes around the module when it is used, so that attention there "
                "would have no effect. Choose another site."
            )
        if not watch.reaches(slot, ours) and _has_no_effect(model, example, ours, watch, slot):
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


def _has_no_effect(model: nn.Module, example: object, ours: object, watch: _Watch, slot: Slot) -> bool:
    """Return whether a result that could show it stays the same when a mechanism returns no numbers."""
    if not any(t.is_floating_point() and t.numel() for t in tensors_in(ours)):
        return False
    try:
        with eval_seeded(model), watch.filling(slot):
            return bit_equal(ours, call_with(model, example))
    except Exception:  # whatever the model makes of it, it was read
        return False


class _Watch:
    """Stands where each mechanism's output meets the host's own.

    Attributes:
        slots: Every mechanism in the model.
        made: What each has given, by the identity of its slot: the numbers of the tensors.
    """

    def __init__(self, model: nn.Module) -> None:
        self.holders = list(holders(model).values())
        self.slots = [slot for holder in self.holders for slot in holder.slots if slot.name]
        self.made: dict[int, list[int]] = {id(slot): [] for slot in self.slots}
        self.trace = Trace()

    @contextmanager
    def following(self) -> Iterator[None]:
        """Note what is made of every mechanism's output."""

        def note(slot: Slot, output: Tensor) -> Tensor:
            self.made[id(slot)].append(self.trace.number(output, 0))
            return output

        with self._instead(note), _Operations(self.trace):
            yield

    @contextmanager
    def filling(self, chosen: Slot) -> Iterator[None]:
        """Let one mechanism return no numbers."""

        def fill(slot: Slot, output: Tensor) -> Tensor:
            return torch.full_like(output, torch.nan) if slot is chosen else output

        with self._instead(fill):
            yield

    def reaches(self, slot: Slot, results: object) -> bool:
        """Return whether an operation made something of a mechanism's output that ended in the results."""
        waiting, seen = [self.trace.number(t, 0) for t in tensors_in(results)], set[int]()
        while waiting:
            number = waiting.pop()
            if number not in seen:
                seen.add(number)
                waiting.extend(self.trace.nodes[number].parents)
        return not seen.isdisjoint(self.made[id(slot)])

    @contextmanager
    def _instead(self, function: Callable[[Slot, Tensor], Tensor]) -> Iterator[None]:
        """Pass every blended map through ``function``, with no hook, which PyTorch's fast paths would see."""
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


class _Operations(TorchDispatchMode):
    """Notes what every operation makes of what."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self.trace = trace

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.trace.note(func._schema.name, args, dict(kwargs or {}), result, 0)
        return result
