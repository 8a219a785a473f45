"""Watches the calls of attention functions while a model runs: fused, explicit, or of a whole module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode, _pop_mode, _push_mode

from foveate.explain.families.layout import family_of
from foveate.explain.recording.call_site import running_layer
from foveate.explain.recording.explicit_weights import SOFTMAXES, Follower, Product, last_axis
from foveate.explain.recording.multi_head_module import of_function
from foveate.explain.recording.recorder import Recorder
from foveate.explain.recording.sdpa_call import SdpaCall


class FunctionWatch(TorchFunctionMode):
    """Sees every call of a function of PyTorch in the block's own thread, and changes none.

    Args:
        recorder: Whom it tells.
    """

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder
        self.follower = Follower()
        self._following = self.follower.found  # asked at every call

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the function, and record it if it is attention."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        self.recorder.ran_at_all = True
        if func is F.scaled_dot_product_attention:
            self._sdpa(result, args, kwargs)
        elif func in SOFTMAXES:
            self._softmax(result, args, kwargs)
        elif func is F.multi_head_attention_forward:
            if (path := self._layer()) is not None:
                self.recorder.keep(path, of_function(args, kwargs, result), "softmax")
        elif self._following:
            self._follow(func, args, kwargs, result)
        return result

    def _sdpa(self, result: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if (path := self._layer()) is not None:
            self.recorder.keep(path, SdpaCall.of(result, args, kwargs), "softmax")

    def _softmax(self, result: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if (path := self._layer()) is None:
            return
        declared = family_of(self.recorder.modules[path])
        source = "operand" if declared is None else declared.source
        if source == "softmax":
            self.recorder.keep(path, Product(result, mixed=False), "softmax")
        elif source == "product" or last_axis(args, kwargs):
            self.follower.start(result, path, whole=source == "product")

    def _follow(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        found = self.follower.step(func, args, kwargs, result)
        if found is not None:
            product, path = found
            if self._layer() == path:
                self.recorder.keep(path, product, "mixed" if product.mixed else "softmax")

    def _layer(self) -> str | None:
        """Return the path of the running layer if it is to be recorded."""
        if not self.recorder.here:
            return None
        path = running_layer(self.recorder.paths)
        return path if path is not None and self.recorder.wants(path) else None

    def start(self) -> None:
        """Begin to watch, in this thread."""
        _push_mode(self)

    def stop(self) -> None:
        """Stop watching. Blocks may end in any order, so that others can be above."""
        self.follower.clear()
        _push_all(_pop_until(self)[:-1])

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Step aside for code that runs differently while anybody watches."""
        popped = _pop_until(self)
        _push_all([mode for mode in popped if mode is not self])
        try:
            yield
        finally:
            if popped and popped[-1] is self:
                above = [_pop_mode() for _ in popped[:-1]]
                _push_mode(self)
                _push_all(above)


def _pop_until(mode: TorchFunctionMode) -> list[TorchFunctionMode]:
    """Pop modes off this thread's stack down to one; put all back, and return none, if it is not there."""
    popped: list[TorchFunctionMode] = []
    while torch._C._len_torch_function_stack():
        popped.append(_pop_mode())
        if popped[-1] is mode:
            return popped
    _push_all(popped)
    return []


def _push_all(popped: list[TorchFunctionMode]) -> None:
    for mode in reversed(popped):
        _push_mode(mode)
