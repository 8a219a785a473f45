"""Which layer of a model is running: found on the stack, so that no layer needs a hook."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import FrameType

from torch import nn


def running_layer(paths: Mapping[nn.Module, str]) -> str | None:
    """Return the path of the innermost layer whose method is running; None outside of the model.

    Layers of PyTorch itself, such as ``nn.Softmax`` and ``nn.Dropout``, are parts of the layer around them.

    Args:
        paths: The path of every module of the model.
    """
    frame: FrameType | None = sys._getframe(1)
    inner = None
    while frame is not None:
        code = frame.f_code
        if code.co_argcount and code.co_varnames[0] in ("self", "module"):
            module = frame.f_locals.get(code.co_varnames[0])
            if isinstance(module, nn.Module) and (path := paths.get(module)) is not None:
                if not type(module).__module__.startswith("torch.nn."):
                    return path
                inner = path if inner is None else inner
        frame = frame.f_back
    return inner


def around(path: str, modules: Mapping[str, nn.Module]) -> tuple[nn.Module, ...]:
    """Return the modules around the one at a path, the nearest first."""
    parts = path.split(".") if path else []
    return tuple(modules[".".join(parts[:n])] for n in reversed(range(len(parts))))
