"""Where a run computes, and with which number format."""

from __future__ import annotations

import torch
from lightning_fabric import Fabric
from torch import nn

from foveate.recipe import Precision


def build_fabric(precision: Precision, accelerator: str = "auto") -> Fabric:
    """Return a Fabric for the best device of this machine.

    Args:
        precision: "auto" is bf16-mixed on a CUDA device that has it, 32-true elsewhere.
        accelerator: "auto", "cpu", "cuda" or "mps".
    """
    if precision == "auto":
        cuda = accelerator in ("auto", "cuda") and torch.cuda.is_available()
        precision = "bf16-mixed" if cuda and torch.cuda.is_bf16_supported() else "32-true"
    return Fabric(accelerator=accelerator, devices=1, precision=precision)


def use_channels_last(model: nn.Module) -> None:
    """Lay out kernels with the channels last, as the images are; a model with 5-D kernels stays as it is."""
    if all(p.ndim != 5 for p in model.parameters()):
        model.to(memory_format=torch.channels_last)
