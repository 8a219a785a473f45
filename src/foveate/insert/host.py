"""The class of a host: made on the fly from its own class, so that no old name changes and nothing is hidden.

A wrapper would rename ``layer3.0.conv1.weight``; a hook would not show in ``print(model)``. A subclass made
on the fly, as torch's own parametrizations do it, gives both. Copies and pickles rebuild the class from the
host's own. Where a host is parametrized (spectral or weight normalisation), torch's class stays the
outermost, so that torch can remove it again.

A host may be replaced later. ``SyncBatchNorm.convert_sync_batchnorm`` and the like build a new layer and give
it the children of the old one, its attention among them: then the new layer is the host. A new ``fc``,
``reset_classifier`` and any other ``model.layer = ...`` give the new module nothing: then a warning names the
sites that are gone.
"""

from __future__ import annotations

import inspect
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, ItemsView, Iterator, KeysView, ValuesView
from typing import Any, ClassVar, cast

from torch import nn
from torch.fx import Proxy
from torch.nn.modules.module import register_module_module_registration_hook
from torch.nn.utils.parametrize import is_parametrized

from foveate.errors import SiteWarning
from foveate.insert.holder import Inserted
from foveate.insert.inserted_names import CHILD
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
    """Return a ``forward`` of the same signature: what is inserted before, after or in place of ``plain``."""

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Run the host with its attention, or the host alone under bypass."""
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
        output = holder.replaced_output(args, kwargs) if holder.swaps else _run(self, plain, args, kwargs)
        return holder.leave(args, kwargs, output)

    forward.__signature__ = inspect.signature(plain)  # type: ignore[attr-defined]
    return forward


def _run(host: Any, plain: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run the host alone; while torch.fx traces, record a layer of torch's own as one call, as usual."""
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
    """Make ``host`` an attended module, if it is not one already, and return its holder."""
    if not isinstance(host, Attended):
        _make_attended(host)
        host.add_module(CHILD, Inserted().train(host.training))
    return cast(Inserted, host._modules[CHILD])


def release(host: nn.Module) -> None:
    """Turn an attended host back into what it was."""
    plain = plain_class(host)
    del host._modules[CHILD]
    host.__class__ = _with_base(type(host), attended_class(plain), plain)


def plain_class(host: nn.Module) -> type[nn.Module]:
    """Return the class that the host had before, torch's own for parametrized ones left out."""
    return host.plain if isinstance(host, Attended) else type(host)


def _make_attended(host: nn.Module) -> None:
    """Give a module the class of a host."""
    _watch_replacements()
    cls = type(host)
    plain = cls.__bases__[0] if is_parametrized(host) else cls
    host.__class__ = _with_base(cls, plain, attended_class(plain))


def _with_base(cls: type[Any], old: type[Any], new: type[Any]) -> type[Any]:
    """Return ``cls`` with ``new`` in place of ``old`` among its bases."""
    if cls is old:
        return new
    bases = tuple(_with_base(base, old, new) if issubclass(base, old) else base for base in cls.__bases__)
    body = {key: value for key, value in vars(cls).items() if key not in ("__dict__", "__weakref__")}
    metaclass: Any = type(cls)
    made: type[Any] = metaclass(cls.__name__, bases, body)
    return made


def _blank(base: type[nn.Module]) -> nn.Module:
    _watch_replacements()
    cls = attended_class(base)
    return cls.__new__(cls)


_watching = threading.Lock()  # taken once, and never released


def _watch_replacements() -> None:
    """Watch, from the first host on, which modules are registered in place of others."""
    if _watching.acquire(blocking=False):
        register_module_module_registration_hook(_registered)


def _registered(parent: nn.Module, name: str, module: nn.Module | None) -> None:
    old = parent._modules.get(name)
    if name == CHILD and isinstance(module, Inserted):
        if not isinstance(parent, Attended) and type(parent) is not nn.Module:
            _make_attended(parent)  # it was given another module's attention, as by a conversion of layers
    elif old is not None and old is not module and "_is_replica" not in parent.__dict__:
        _warn_of_lost_sites(old, module)


def _warn_of_lost_sites(old: nn.Module, new: nn.Module | None) -> None:
    """Warn of the sites that are in ``old`` and not in ``new``."""
    remaining = set(_sites(new)) if new is not None else set()
    gone = [site for site in dict.fromkeys(_sites(old)) if site not in remaining]
    if gone:
        by = "nothing" if new is None else f"a new {type(new).__name__}"
        warnings.warn(
            f"{', '.join(gone)}: the module that attention sits at was replaced by {by}, and the attention "
            "is gone with it. Change the model first and insert then, or insert again: "
            "fv.insert(model, spec, example=...)",
            SiteWarning,
            stacklevel=4,
        )


def _sites(module: nn.Module) -> Iterator[str]:
    """Yield what is inserted in a module, such as ``se at layer4.1``."""
    for part in module.modules():
        if isinstance(part, Inserted):
            yield from (slot.title for slot in part.slots)
