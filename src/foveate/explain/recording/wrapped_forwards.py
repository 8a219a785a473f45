"""Wraps ``forward`` of PyTorch's own attention modules for the time of a block, so that they run as ever."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from torch import nn

from foveate.explain.recording.encoder_layer import of_layer
from foveate.explain.recording.linear_attention import method_of
from foveate.explain.recording.linear_attention import of_layer as of_linear_layer
from foveate.explain.recording.multi_head_module import of_module
from foveate.explain.recording.recorder import Recorder

Aside = Callable[[], AbstractContextManager[None]]
Around = Callable[..., Any]  # of what it is around, and its arguments
_ABSENT = object()
_LOCK = threading.Lock()


@contextmanager
def wrapped_forwards(recorder: Recorder, aside: Aside) -> Iterator[None]:
    """Let attention modules of PyTorch report to a recorder inside the block.

    Args:
        recorder: The block's recorder.
        aside: Takes the watch over functions away for a while, since these modules run differently with it.
    """
    with ExitStack() as undo:
        for path, module in recorder.modules.items():
            around, method = _around(path, module, recorder, aside)
            if around is not None and recorder.wants(path):
                undo.callback(_wrap(module, around, method))
        yield


def _around(path: str, module: nn.Module, recorder: Recorder, aside: Aside) -> tuple[Around | None, str]:
    """Return what goes around a method of a module, and which; None for most modules."""
    if isinstance(module, nn.MultiheadAttention) and _is_plain(module, nn.MultiheadAttention):
        return _attention(path, module, recorder, aside), "forward"
    if isinstance(module, nn.TransformerEncoderLayer) and _is_plain(module, nn.TransformerEncoderLayer):
        return _layer(path, module, recorder, aside), "forward"
    if isinstance(module, nn.TransformerEncoder) and _is_plain(module, nn.TransformerEncoder):
        plain = all(_is_plain(layer, nn.TransformerEncoderLayer) for layer in module.layers)
        return (_encoder(recorder, aside) if plain else None), "forward"
    name = method_of(module)
    return (None, "") if name is None else (_linear(path, module, recorder), name)


def _is_plain(module: nn.Module, cls: type[nn.Module]) -> bool:
    return type(module).forward is cls.forward


class _Wrapped:
    """A method of a module with what blocks put around it; they can end in any order.

    Args:
        module: The module.
        name: The method.
    """

    def __init__(self, module: nn.Module, name: str) -> None:
        self.before = module.__dict__.get(name, _ABSENT)
        self.inner = getattr(module, name)
        self.around: list[Around] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call = self.inner
        for around in tuple(self.around):
            call = functools.partial(around, call)
        return call(*args, **kwargs)


def _wrap(module: nn.Module, around: Around, name: str = "forward") -> Callable[[], None]:
    """Put a function around a module's method; return what takes it off again."""
    with _LOCK:
        there = module.__dict__.get(name)
        wrapped = there if isinstance(there, _Wrapped) else _Wrapped(module, name)
        module.__dict__[name] = wrapped
        wrapped.around.append(around)

    def undo() -> None:
        with _LOCK:
            wrapped.around.remove(around)
            if not wrapped.around and module.__dict__.get(name) is wrapped:
                del module.__dict__[name]
                if wrapped.before is not _ABSENT:
                    module.__dict__[name] = wrapped.before

    return undo


def _attention(path: str, module: nn.MultiheadAttention, recorder: Recorder, aside: Aside) -> Around:
    def around(inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not recorder.here:
            return inner(*args, **kwargs)
        with aside():
            result = inner(*args, **kwargs)
        recorder.ran[path] += 1
        recorder.keep(path, of_module(module, args, kwargs, result), "softmax")
        return result

    return around


def _layer(path: str, layer: nn.TransformerEncoderLayer, recorder: Recorder, aside: Aside) -> Around:
    attention = recorder.paths[layer.self_attn]

    def around(inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not recorder.here:
            return inner(*args, **kwargs)
        before = recorder.ran[attention]
        with aside():
            result = inner(*args, **kwargs)
        if recorder.ran[attention] == before and recorder.wants(attention):  # it ran fused
            call, _ = of_layer(layer, args, kwargs)
            recorder.keep(attention, call, "softmax")
        return result

    return around


def _encoder(recorder: Recorder, aside: Aside) -> Around:
    def around(inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not recorder.here:
            return inner(*args, **kwargs)
        with aside():
            return inner(*args, **kwargs)

    return around


def _linear(path: str, module: nn.Module, recorder: Recorder) -> Around:
    def around(inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        result = inner(*args, **kwargs)
        if recorder.here:
            recorder.keep(path, of_linear_layer(module, args, result), "linear")
        return result

    return around
