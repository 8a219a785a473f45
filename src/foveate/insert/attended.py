"""The class of a host: made on the fly from its own class, so that no old name changes and nothing is hidden.

A wrapper would rename ``layer3.0.conv1.weight``; a hook would not show in ``print(model)``. A subclass made
on the fly, as torch's own parametrizations do it, gives both. Copies and pickles rebuild the class from the
host's own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import Any, cast

from torch import nn

from foveate.insert.holder import CHILD, Inserted


class Attended:
    """Mixed in front of the host's class: what stands before, behind or in place of its ``forward``."""

    foveate: Inserted

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the host with its attention, or the host alone while it is bypassed."""
        holder = self.foveate
        if holder.bypassed:
            return super().forward(*args, **kwargs)  # type: ignore[misc]
        args, kwargs = holder.enter(args, kwargs)
        if holder.swaps:
            output = holder.swapped(args, kwargs)
        else:
            output = super().forward(*args, **kwargs)  # type: ignore[misc]
        return holder.leave(args, kwargs, output)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _blank, (plain_class(cast(nn.Module, self)),), self.__dict__.copy()


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
        body = {"__module__": __name__, "__doc__": base.__doc__}
        metaclass: Any = type(base)
        _made[base] = metaclass(f"Attended{base.__name__}", (*mixins, base), body)
    return _made[base]


def attend(host: nn.Module) -> Inserted:
    """Turn ``host`` into an attended one, if it is not one already, and return its holder."""
    if not isinstance(host, Attended):
        host.__class__ = attended_class(type(host))
        host.add_module(CHILD, Inserted().train(host.training))
    return cast(Inserted, host._modules[CHILD])


def release(host: nn.Module) -> None:
    """Turn an attended host back into what it was."""
    base = plain_class(host)
    del host._modules[CHILD]
    host.__class__ = base


def plain_class(host: nn.Module) -> type[nn.Module]:
    """Return the class that the host had before."""
    return type(host).__bases__[-1] if isinstance(host, Attended) else type(host)


def _blank(base: type[nn.Module]) -> nn.Module:
    cls = attended_class(base)
    return cls.__new__(cls)
