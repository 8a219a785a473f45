"""The class of a host: made on the fly from its own class, so that no old name changes and nothing is hidden.

A wrapper would rename ``layer3.0.conv1.weight``; a hook would not show in ``print(model)``. A subclass made
on the fly, as torch's own parametrizations do it, gives both. Copies and pickles rebuild the class from the
host's own. Where a host is parametrized (spectral or weight normalisation), torch's class stays the
outermost, so that torch can take it away again.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, ItemsView, Iterator, KeysView, ValuesView
from typing import Any, ClassVar, cast

from torch import nn
from torch.fx import Proxy
from torch.nn.utils.parametrize import is_parametrized

from foveate.insert.exchanged_hosts import follow
from foveate.insert.holder import CHILD, Inserted
from foveate.nested_tensors import first_tensor

PLAIN = "foveate_plain"  # the keyword by which a graph of torch.fx calls a host without its attention


class Attended:
    """Mixed in front of the host's class; its ``forward`` is what ``_attended_forward`` makes."""

    foveate: Inserted
    plain: ClassVar[type[nn.Module]]

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        state: Any = self.__getstate__()
        return _blank, (plain_class(cast(nn.Module, self)),), state.copy() if type(state) is dict else state


def _attended_forward(plain: Callable[..., Any]) -> Callable[..., Any]:
    """Return a ``forward`` of the same signature: what stands before, behind or in place of ``plain``."""

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Run the host with its attention, or the host alone while it is bypassed."""
        holder: Inserted = self.foveate
        if isinstance(args, Proxy):
            raise RuntimeError(
                f"foveate: torch.fx cannot trace attention that sits at {type(self).__name__} itself, the "
                "module that is traced. Put it at a module inside, or use torch.export"
            )
        if kwargs and kwargs.pop(PLAIN, False):
            return plain(self, *args, **kwargs)
        if holder.bypassed:
            return _run(self, plain, args, kwargs)
        args, kwargs = holder.enter(args, kwargs)
        output = holder.swapped(args, kwargs) if holder.swaps else _run(self, plain, args, kwargs)
        return holder.leave(args, kwargs, output)

    forward.__signature__ = inspect.signature(plain)  # type: ignore[attr-defined]
    return forward


def _run(host: Any, plain: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run the host alone; while torch.fx traces, note a layer of torch's own as one call, as usual."""
    if host.plain.__module__.startswith(("torch.nn.", "torch.ao.nn.")) and not isinstance(host, _Container):
        found: object = first_tensor((args, kwargs))
        if isinstance(found, Proxy):
            path = found.tracer.path_of_module(host)  # type: ignore[attr-defined]
            return found.tracer.create_proxy("call_module", path, args, {**kwargs, PLAIN: True})
    return plain(host, *args, **kwargs)


class _Container:
    """Mixed in front of containers, which would otherwise run, count or list the holder as a layer."""

    _modules: dict[str, nn.Module]

    def _plain(self) -> OrderedDict[str, nn.Module]:
        return OrderedDict((name, module) for name, module in self._modules.items() if name != CHILD)

    def __len__(self) -> int:
        return len(self._modules) - 1


class _AttendedSequence(_Container):
    """For ``nn.Sequential``, ``nn.ModuleList`` and their subclasses."""

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self._plain().values())

    def __getitem__(self, index: Any) -> nn.Module:
        layers = list(self._plain().items())
        if isinstance(index, slice):
            if isinstance(self, nn.ModuleList):
                return nn.ModuleList(module for _, module in layers[index])
            return nn.Sequential(OrderedDict(layers[index]))
        return layers[index][1]


class _AttendedMapping(_Container):
    """For ``nn.ModuleDict`` and for modules that list their children by ``items``."""

    def __iter__(self) -> Iterator[str]:
        return iter(self._plain())

    def items(self) -> ItemsView[str, nn.Module]:
        return self._plain().items()

    def keys(self) -> KeysView[str]:
        return self._plain().keys()

    def values(self) -> ValuesView[nn.Module]:
        return self._plain().values()


_made: dict[type[nn.Module], type[nn.Module]] = {}


def attended_class(base: type[nn.Module]) -> type[nn.Module]:
    """Return the class for hosts of class ``base``, such as ``AttendedBottleneck``; one for each base."""
    if base not in _made:
        mixins: tuple[type, ...] = (Attended,)
        if issubclass(base, nn.Sequential | nn.ModuleList):
            mixins = (Attended, _AttendedSequence)
        elif issubclass(base, nn.ModuleDict):
            mixins = (Attended, _AttendedMapping)
        body = {
            "__module__": __name__,
            "__doc__": base.__doc__,
            "plain": base,
            "forward": _attended_forward(base.forward),
        }
        metaclass: Any = type(base)
        _made[base] = metaclass(f"Attended{base.__name__}", (*mixins, base), body)
    return _made[base]


def attend(host: nn.Module) -> Inserted:
    """Turn ``host`` into an attended one, if it is not one already, and return its holder."""
    if not isinstance(host, Attended):
        _turn(host)
        host.add_module(CHILD, Inserted().train(host.training))
    return cast(Inserted, host._modules[CHILD])


def release(host: nn.Module) -> None:
    """Turn an attended host back into what it was."""
    plain = plain_class(host)
    del host._modules[CHILD]
    host.__class__ = _exchanged(type(host), attended_class(plain), plain)


def plain_class(host: nn.Module) -> type[nn.Module]:
    """Return the class that the host had before, torch's own for parametrized ones left out."""
    return host.plain if isinstance(host, Attended) else type(host)


def _turn(host: nn.Module) -> None:
    """Give a module the class of a host."""
    follow(_adopt)
    cls = type(host)
    plain = cls.__bases__[0] if is_parametrized(host) else cls
    host.__class__ = _exchanged(cls, plain, attended_class(plain))


def _adopt(module: nn.Module) -> None:
    """Let a module that was given another's holder, as by a conversion of layers, be its host."""
    if not isinstance(module, Attended) and type(module) is not nn.Module:
        _turn(module)


def _exchanged(cls: type[Any], old: type[Any], new: type[Any]) -> type[Any]:
    """Return ``cls`` with ``new`` where ``old`` stands among its bases."""
    if cls is old:
        return new
    bases = tuple(_exchanged(base, old, new) if issubclass(base, old) else base for base in cls.__bases__)
    body = {key: value for key, value in vars(cls).items() if key not in ("__dict__", "__weakref__")}
    metaclass: Any = type(cls)
    made: type[Any] = metaclass(cls.__name__, bases, body)
    return made


def _blank(base: type[nn.Module]) -> nn.Module:
    follow(_adopt)
    cls = attended_class(base)
    return cls.__new__(cls)
