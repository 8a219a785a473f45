"""Which module in an ``nn.Sequential`` hosts what a spec puts behind or in front of the whole sequence.

Some code runs the layers of a sequence itself: activation checkpointing, feature extractors, a loop in a
``forward``. What is inserted after the sequence also follows its last block, unless such code bypasses
it. Sequences of single layers are hosts themselves.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from foveate.insert.find.recorded_run import Run
from foveate.insert.holder import holders
from foveate.insert.inserted_names import CHILD
from foveate.insert.slot import Slot


def host_path(model: nn.Module, run: Run, path: str, where: str, *, argument: str = "") -> str:
    """Return the path of the module to host what stands ``before`` or ``after`` the one at ``path``."""
    module = model.get_submodule(path)
    if argument or not _is_stack_of_blocks(module):
        return path
    names = [name for name in module._modules if name != CHILD]
    name = names[0] if where == "before" else names[-1]
    inner = f"{path}.{name}" if path else name
    if not _passes_same_tensor(run, path, inner, where):
        return path
    return host_path(model, run, inner, where)


def _is_stack_of_blocks(module: nn.Module) -> bool:
    """Return whether a module runs its children one by one, and some of them hold layers of their own."""
    plain = getattr(type(module), "plain", type(module))
    children = [child for name, child in module.named_children() if name != CHILD]
    if not any(any(True for _ in child.children()) for child in children):
        return False
    return plain.forward is nn.Sequential.forward or _runs_children(plain.forward)


@functools.cache
def _runs_children(forward: Callable[..., object]) -> bool:
    """Return whether a ``forward`` goes through all children, as in timm's RegNets."""
    try:
        source = inspect.getsource(forward)
    except (OSError, TypeError):
        return False
    return "self.children()" in source or "self._modules.values()" in source


def _passes_same_tensor(run: Run, outer: str, inner: str, where: str) -> bool:
    """Return whether a module runs once and takes, or returns, the very tensor that the other does."""
    if inner not in run.calls or outer not in run.calls or not run.runs_once(inner):
        return False
    whole, part = run.calls[outer], run.calls[inner]
    if where == "after":
        return part.output is not None and part.output_key == whole.output_key
    return bool(whole.inputs and part.inputs) and part.inputs[0][1] == whole.inputs[0][1]


def read_old_names(sequence: nn.Module) -> None:
    """Let a sequence load old states, in which it hosted itself what its first or last module hosts now."""
    if not _hooks_for_old_names(sequence):
        sequence.register_load_state_dict_pre_hook(rename_old_keys)


def _hooks_for_old_names(module: nn.Module) -> list[int]:
    hooks = module._load_state_dict_pre_hooks.items()
    return [key for key, hook in hooks if getattr(hook, "hook", None) is rename_old_keys]


def forget_old_names(model: nn.Module) -> None:
    """Undo ``read_old_names`` in every module of a model."""
    for module in model.modules():
        for key in _hooks_for_old_names(module):
            del module._load_state_dict_pre_hooks[key]


def rename_old_keys(sequence: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Rename in a state what an older version saved at the sequence itself."""
    moved, stayed = old_names(sequence)
    if not any(_keys(state, prefix + old) for old in moved):
        return  # this version saved it
    renames: dict[str, Any] = {}
    for old, new in (moved | {o: n for o, n in stayed.items() if not _keys(state, prefix + n)}).items():
        for key in _keys(state, prefix + old):
            renames[prefix + new + key.removeprefix(prefix + old)] = state.pop(key)
    state.update(renames)


def _keys(state: Mapping[str, Any], name: str) -> list[str]:
    """Return the keys of a mechanism or gate."""
    return [key for key in state if key == name or key.startswith(f"{name}.")]


def with_current_names(model: nn.Module, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state, which an older version may have saved, under the names of this version."""
    found = dict(state)
    for path, module in model.named_modules():
        if _hooks_for_old_names(module):
            rename_old_keys(module, found, f"{path}." if path else "")
    return found


def old_names(sequence: nn.Module) -> tuple[dict[str, str], dict[str, str]]:
    """Return what had another name when the sequence itself hosted what its modules host now.

    Returns:
        The old and new names of what the sequence hosted, and of what its modules hosted then.
    """
    moved: dict[str, str] = {}
    stayed: dict[str, str] = {}
    for path, holder in holders(sequence).items():
        new = f"{path}.{CHILD}"
        for slot in holder.slots:
            if slot.levels == path.count(".") + 1:
                moved |= _names(CHILD, new, slot)
            elif not slot.levels and slot.old_name != slot.name:
                stayed |= _names(new, new, slot)
    return moved, stayed


def _names(old: str, new: str, slot: Slot) -> dict[str, str]:
    names = {f"{old}.{slot.old_name}": f"{new}.{slot.name}"} if slot.name else {}
    return names | ({f"{old}.{slot.old_name}_gate": f"{new}.{slot.gate}"} if slot.gate else {})
