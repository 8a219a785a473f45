"""Which module in an ``nn.Sequential`` hosts what is named behind or before the whole.

Others run the layers of a sequence themselves: activation checkpointing, feature extractors, a loop in a
``forward``. What stands behind the sequence stands behind its last block as well, and there nobody goes
around it. Sequences of single layers are hosts themselves.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from foveate.insert.find.probe import Probe
from foveate.insert.holder import CHILD, holders
from foveate.insert.slot import Slot


def within(model: nn.Module, notes: Probe, path: str, where: str, *, argument: str = "") -> str:
    """Return the path of the module to host what stands ``before`` or ``after`` the one at ``path``."""
    module = model.get_submodule(path)
    if argument or not _is_stack(module):
        return path
    names = [name for name in module._modules if name != CHILD]
    name = names[0] if where == "before" else names[-1]
    inner = f"{path}.{name}" if path else name
    if not _same_map(notes, path, inner, where):
        return path
    return within(model, notes, inner, where)


def _is_stack(module: nn.Module) -> bool:
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


def _same_map(notes: Probe, outer: str, inner: str, where: str) -> bool:
    """Return whether a module runs once and takes, or returns, the very tensor that the other does."""
    if inner not in notes.calls or outer not in notes.calls or not notes.once(inner):
        return False
    whole, part = notes.calls[outer], notes.calls[inner]
    if where == "after":
        return part.output is not None and part.output_key == whole.output_key
    return bool(whole.inputs and part.inputs) and part.inputs[0][1] == whole.inputs[0][1]


def read_old_names(sequence: nn.Module) -> None:
    """Let a sequence load states of when it hosted itself what is now in its first or last module."""
    if not _reads_old_names(sequence):
        sequence.register_load_state_dict_pre_hook(rename)


def _reads_old_names(module: nn.Module) -> list[int]:
    hooks = module._load_state_dict_pre_hooks.items()
    return [key for key, hook in hooks if getattr(hook, "hook", None) is rename]


def forget_old_names(model: nn.Module) -> None:
    """Undo ``read_old_names`` in every module of a model."""
    for module in model.modules():
        for key in _reads_old_names(module):
            del module._load_state_dict_pre_hooks[key]


def rename(sequence: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Rename in a state what an older version saved at the sequence itself."""
    moved, stayed = old_names(sequence)
    if not any(_keys(state, prefix + old) for old in moved):
        return  # of this version
    taken: dict[str, Any] = {}
    for old, new in (moved | {o: n for o, n in stayed.items() if not _keys(state, prefix + n)}).items():
        for key in _keys(state, prefix + old):
            taken[prefix + new + key.removeprefix(prefix + old)] = state.pop(key)
    state.update(taken)


def _keys(state: Mapping[str, Any], name: str) -> list[str]:
    """Return the keys of a mechanism or gate."""
    return [key for key in state if key == name or key.startswith(f"{name}.")]


def renamed(model: nn.Module, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state that an older version may have saved with the names of now."""
    found = dict(state)
    for path, module in model.named_modules():
        if _reads_old_names(module):
            rename(module, found, f"{path}." if path else "")
    return found


def old_names(sequence: nn.Module) -> tuple[dict[str, str], dict[str, str]]:
    """Return what was called otherwise when the sequence itself hosted what is in its modules now.

    Returns:
        The old and new names of what it hosted; and of what was in these modules before.
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
