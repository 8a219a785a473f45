"""Batches of one: what batch normalisation does where a channel has a single value.

One value is its own mean, so that normalised it is 0 whatever it was, and PyTorch refuses it in training. A
network that pools to 1 x 1 and normalises there meets that in every batch of one image. There the running
statistics are used instead, as in the layers of foveate's own networks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def lone_values(model: nn.Module) -> Iterator[None]:
    """Let every batch normalisation of a model take one value per channel inside the block.

    Layers that keep no running statistics stay as they are.
    """
    with ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, _BatchNorm) and module.track_running_stats:
                before = module.register_forward_pre_hook(_stand_in)
                after = module.register_forward_hook(_go_on, always_call=True)
                stack.callback(before.remove)
                stack.callback(after.remove)
        yield


def _stand_in(module: nn.Module, inputs: tuple[Any, ...]) -> None:
    x = inputs[0] if inputs else None
    if module.training and isinstance(x, Tensor) and x.ndim > 1 and x.numel() == x.shape[1]:
        module.training = False
        module.__dict__["_lone"] = True


def _go_on(module: nn.Module, *_: object) -> None:
    if module.__dict__.pop("_lone", False):
        module.training = True
